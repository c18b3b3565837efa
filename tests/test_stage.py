from spec import SHOP, approx, changed
from spec import vector as told

from features.families import stage


def vector(table, journey=SHOP, **keys):
    return told(table, stage.features(journey), journey, **keys)


def test_the_last_rule_that_holds_is_the_stage():
    assert vector("""
        day | event
        -40 | visit
        -10 | purchase
         -4 | purchase
    """) == approx(stage="regular", previous_stage="buyer", stage_days=4, stages_seen=3, stage_changes_56d=2)


def test_time_alone_changes_the_stage():
    assert vector("day | event\n-57 | purchase") == approx(stage="lapsed", previous_stage="buyer", stage_days=1)
    assert vector("day | event\n-40 | purchase\n-38 | purchase") == approx(
        stage="buyer", previous_stage="regular", stage_days=12
    )


def test_at_the_last_instant_of_the_window_the_rule_still_holds():
    assert vector("day | event\n-56 | purchase") == approx(stage="buyer", stage_days=56, stages_seen=1)
    assert vector("day | event\n-56-1us | purchase") == approx(stage="lapsed", stage_days=1 / 86_400_000_000)


def test_a_customer_before_any_rule_is_in_the_first_stage():
    assert vector("day | event\n-3 | email") == approx(
        stage="prospect", previous_stage=None, stage_days=3, stages_seen=1, stage_changes_56d=0, stage_moves_back=None
    )


def test_moves_back_are_told_per_move():
    assert vector("""
        day  | event
        -200 | visit
        -190 | purchase
         -20 | purchase
    """) == approx(stage="buyer", previous_stage="lapsed", stage_moves_back=1 / 3, stage_changes_56d=1, stages_seen=3)


def test_a_purchase_known_too_late_moves_nobody():
    assert vector("day | event | known_at\n-9 | visit |\n-4 | purchase | 0") == approx(stage="prospect")


def test_two_purchases_at_one_instant_are_one_move():
    assert vector("day | event\n-9 | visit\n-4 | purchase\n-4 | purchase") == approx(
        stage="regular", previous_stage="prospect", stage_changes_56d=1
    )


def test_an_empty_past_has_no_stage():
    assert vector("day | event\n0 | purchase") == approx(
        stage=None, previous_stage=None, stage_days=None, stages_seen=0, stage_changes_56d=0, stage_moves_back=None
    )


def test_by_event_the_stage_is_the_last_type():
    assert vector(
        """
        day | event
        -9  | visit
        -5  | ticket
        -5  | purchase
        -2  | purchase
        -1  | something else
    """,
        changed(stages="by_event"),
    ) == approx(stage="purchase", previous_stage="visit", stage_days=5, stages_seen=2, stage_moves_back=1)


def test_a_journey_without_stages_has_no_such_features():
    assert stage.features(changed(stages={}, tasks={"churn": {"no": "purchase", "within": "28d"}})) == ()
