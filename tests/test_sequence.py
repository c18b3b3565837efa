from spec import SHOP, approx, changed
from spec import vector as told

from features.families import sequence


def vector(table, journey=SHOP, **keys):
    return told(table, sequence.features(journey), journey, **keys)


def test_the_last_steps_stand_newest_first():
    assert vector("""
        day | event
        -12 | ticket
        -9  | purchase
        -4  | visit
        -3  | email
        -1  | visit
    """) == approx(
        step_1_back="visit",
        step_2_back="visit",
        step_3_back="purchase",
        step_1_gap_days=3,
        step_2_gap_days=5,
        step_3_gap_days=3,
        run_length=2,
    )


def test_a_short_past_has_fewer_steps():
    assert vector("day | event\n-4 | visit") == approx(
        step_1_back="visit",
        step_2_back=None,
        step_3_back=None,
        step_1_gap_days=None,
        step_2_gap_days=None,
        step_3_gap_days=None,
        run_length=1,
    )


def test_ties_stand_in_order_of_arrival():
    assert vector("day | event\n-1 | visit\n-1 | purchase\n-1 | ticket") == approx(
        step_1_back="ticket", step_2_back="purchase", step_3_back="visit", step_1_gap_days=0, run_length=1
    )


def test_a_run_ends_with_another_type_between():
    assert vector("day | event\n-9 | visit\n-8 | visit\n-7 | purchase\n-6 | visit") == approx(run_length=1)


def test_an_event_known_too_late_interrupts_no_run():
    assert vector("day | event | known_at\n-9 | visit |\n-8 | ticket | 0\n-7 | visit |") == approx(
        run_length=2, step_1_gap_days=2
    )


def test_an_empty_past_has_no_steps():
    assert vector("day | event\n0 | visit") == approx(step_1_back=None, step_1_gap_days=None, run_length=0)


def test_with_one_type_only_the_gaps_and_its_rate_are_told():
    journey = changed(types=["purchase", "email"], business=["email"], friction=[])
    gaps = {f"step_{n}_gap_days" for n in (1, 2, 3)}
    assert set(vector("day | event\n-1 | purchase", journey)) == {*gaps, "purchase_per_28d"}


def test_events_so_far_are_told_as_a_rate():
    assert vector("""
        day | event
        -56 | email
        -50 | visit
        -40 | visit
        -30 | visit
        -10 | purchase
         -3 | ticket
    """) == approx(visit_per_28d=1.5, purchase_per_28d=0.5, ticket_per_28d=0.5, refund_per_28d=0, coupon_per_28d=0)


def test_a_short_history_is_read_as_28_days():
    assert vector("day | event\n-2 | visit\n-1 | visit") == approx(visit_per_28d=2)
    assert vector("day | event\n0 | visit") == approx(visit_per_28d=None)
