import polars as pl
from spec import SHOP, approx, at, changed, log, pairs
from spec import vector as told

from features.engine import build
from features.families import profile

VISIT = "day | event\n-9 | visit"


def vector(table, journey=SHOP, **keys):
    return told(table, profile.features(journey), journey, **keys)


def test_a_static_column_is_always_known():
    assert vector(VISIT, profile={"region": "north", "plan": "gold", "plan_since": at(-3)}) == approx(
        profile_region="north", profile_plan="gold"
    )


def test_a_column_is_unknown_until_the_business_knew_it():
    for since in (at(0), at(5), None):
        found = vector(VISIT, profile={"region": "north", "plan": "gold", "plan_since": since})
        assert found == approx(profile_region="north", profile_plan=None)
    just = vector(VISIT, profile={"region": None, "plan": "gold", "plan_since": at(0) - 1})
    assert just == approx(profile_region=None, profile_plan="gold")


def test_a_customer_without_a_profile_is_as_unknown_as_one_without_values():
    nothing = vector(VISIT, profile={"region": None, "plan": None, "plan_since": None})
    assert vector(VISIT) == nothing == approx(profile_region=None, profile_plan=None)
    other = pl.DataFrame([{"customer_id": "other", "region": "x", "plan": "y", "plan_since": 0}])
    built = build(log(VISIT), pairs(["c"], [at()]), profile.features(SHOP), other)
    assert built.select("profile_region", "profile_plan").row(0) == (None, None)


def test_whether_a_profile_exists_is_no_feature():
    assert set(vector(VISIT)) == {"profile_region", "profile_plan"}


def test_a_journey_without_profile_has_no_such_features():
    assert profile.features(changed(profile=None)) == ()
