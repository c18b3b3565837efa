import pytest
from spec import SHOP, approx, changed
from spec import vector as told

from features.catalogue import catalogue
from features.families import feedback


def vector(table, journey=SHOP, **keys):
    return told(table, feedback.features(journey), journey, **keys)


def test_the_newest_the_mean_and_the_lowest_answer():
    assert vector("""
        day | event    | stars
        -30 | purchase | 2
        -20 | visit    |
        -10 | ticket   | 4
         -5 | visit    | 3
         -2 | visit    |
    """) == approx(stars_last=3, stars_mean=3, stars_min=2, stars_answer_recency_days=5)


def test_of_two_answers_at_one_instant_the_one_that_arrived_last_counts():
    assert vector("day | event | stars\n-1 | visit | 5\n-1 | visit | 1") == approx(stars_last=1)


def test_a_customer_who_never_answered():
    assert vector("day | event | stars\n-1 | visit |") == approx(
        stars_last=None, stars_mean=None, stars_min=None, stars_answer_recency_days=None
    )


def test_an_answer_that_arrived_late_is_not_seen():
    assert vector("day | event | stars | known_at\n-3 | visit | 5 |\n-1 | visit | 1 | 0") == approx(
        stars_last=5, stars_mean=5
    )


def test_an_event_type_may_have_the_name_of_its_rating():
    journey = changed(types=["purchase", "rating"], business=[], friction=[], properties={"rating": "rating"})
    names = [feature.name for feature in catalogue(journey)]
    assert {"rating_recency_days", "rating_answer_recency_days"} <= set(names)


@pytest.mark.parametrize(
    ("answer", "group"),
    [(0, "detractor"), (6, "detractor"), (7, "passive"), (8, "passive"), (9, "promoter"), (10, "promoter")],
)
def test_the_group_of_the_newest_promoter_score(answer, group):
    assert vector(f"day | event | nps\n-9 | visit | 3\n-3 | visit | {answer}\n-1 | visit |") == approx(
        nps_group=group, nps_last=answer, nps_mean=(3 + answer) / 2, nps_min=min(3, answer), nps_answer_recency_days=3
    )


def test_who_was_never_asked_is_in_no_group():
    assert vector("day | event | nps\n-1 | visit |") == approx(nps_group=None, nps_last=None)
