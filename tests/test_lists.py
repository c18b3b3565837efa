"""The at-risk list: its order, its filters, its pages."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert
from stores import answer_of, ids, write

from features.errors import InputError
from features.journey import Campaign
from features.schema import DAY, to_text
from serving.clock import now
from serving.filters import Filters, Wanted
from serving.segments import Segments
from serving.store import Store
from serving.tables import UNKNOWN, worklist
from training.money import contact_profit

COSTS = Campaign(contact_cost=1.0, incentive_cost=5.0, accept_rate=0.2)


def by_profit(costs: Campaign = COSTS, **filters) -> Wanted:
    return Wanted(Filters(**filters), "profit", costs)


SORTS = ["expected_loss", "profit", "churn_probability"]
BY_CHURN = Wanted(Filters(), "churn_probability")


def only(**filters) -> Wanted:
    return Wanted(Filters(**filters))


def on_worklist(store: Store, **rows: dict) -> None:
    """Put customers on the worklist as they are."""
    with store.transaction(writes=True) as connection:
        for customer_id, row in rows.items():
            base = {"journey": "shop", "customer_id": customer_id, "status": "open", "opted_out": False}
            connection.execute(insert(worklist), [base | {"changed_at": 0} | row])


def read_through(store: Store, wanted: Wanted, limit: int) -> list:
    """All lines of a list, a page at a time."""
    found, after = [], None
    while True:
        page = store.at_risk("shop", wanted, limit=limit, after=after)
        found += page.items
        after = page.next_cursor
        if after is None:
            return found


# the order


def test_the_list_by_profit_goes_by_what_a_contact_earns(store):
    # Stakes of 100 and 20: of equal expected losses, the likelier to leave cost less in gifts to those who stay.
    write(store, answer_of("loss", 12.0, 0.12), answer_of("likely", 12.0, 0.6), answer_of("most", 50.0, 0.5))
    found = store.at_risk("shop", by_profit())
    assert ids(found) == ["most", "likely", "loss"]
    for line in found.items:
        assert line.contact_profit == pytest.approx(float(contact_profit(line.churn_probability, line.at_stake, COSTS)))


def test_a_line_carries_what_makes_its_rank_checkable(store):
    write(store, answer_of("h1", 12.0, 0.12))
    line = store.at_risk("shop", by_profit()).items[0]
    p, stake, g, d, f = 0.12, line.at_stake, line.accept_rate, line.incentive_cost, line.contact_cost
    assert (g, d, f) == (0.2, 5.0, 1.0)
    assert stake == pytest.approx(100.0)
    assert line.contact_profit == pytest.approx(p * g * (stake - d) - (1 - p) * d - f)
    assert line.expected_loss == pytest.approx(p * stake)


def test_other_costs_make_another_order(store):
    write(store, answer_of("dear", 30.0, 0.1), answer_of("likely", 20.0, 0.9))
    assert ids(store.at_risk("shop", by_profit(Campaign(incentive_cost=0.0)))) == ["dear", "likely"]
    assert ids(store.at_risk("shop", by_profit(Campaign(incentive_cost=20.0)))) == ["likely", "dear"]


def test_whose_value_is_unknown_comes_last_by_profit_too(store):
    write(store, answer_of("unknown", None, 0.9), answer_of("never pays", 0.01, 0.1), answer_of("unlikely", None, 0.2))
    assert ids(store.at_risk("shop", by_profit())) == ["never pays", "unknown", "unlikely"]


def test_a_run_that_knows_nobodys_value_has_no_profits(store):
    write(store, answer_of("a", None).model_copy(update={"cltv": None}))
    with pytest.raises(InputError, match="knows nobody's value"):
        store.at_risk("shop", by_profit())


losses = st.one_of(st.none(), st.sampled_from([0.0, 1.0, -1.0, 100.0]), st.floats(-1e6, 1e6))
customers = st.lists(st.tuples(losses, st.sampled_from([0.05, 0.2, 0.5, 0.9])), min_size=1, max_size=25)
costs = st.builds(
    Campaign,
    contact_cost=st.sampled_from([0.0, 1.0, 30.0]),
    incentive_cost=st.sampled_from([0.0, 5.0, 400.0]),
    accept_rate=st.sampled_from([0.01, 0.2, 1.0]),
)


@settings(max_examples=60)
@given(
    customers,
    costs,
    st.sampled_from(SORTS),
    st.integers(1, 7),
    st.sets(st.integers(0, 24)),
)
def test_everyone_stands_on_the_list_once_and_in_order(tmp_path_factory, found, costs, sort, limit, opted_out):
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('pages')}/scores.db")
    write(store, *(answer_of(f"c{n:02}", loss, p) for n, (loss, p) in enumerate(found)))
    on_worklist(store, **{f"c{n:02}": {"opted_out": True} for n in opted_out})
    lines = read_through(store, Wanted(Filters(), sort, costs), limit)
    store.close()
    listed = [line.customer_id for line in lines]
    assert sorted(listed) == [f"c{n:02}" for n in range(len(found)) if n not in opted_out]
    amounts = [getattr(line, "contact_profit" if sort == "profit" else sort) for line in lines]
    keys = [
        (-(UNKNOWN if amount is None else amount), -line.churn_probability, line.customer_id)
        for amount, line in zip(amounts, lines, strict=True)
    ]
    assert keys == sorted(keys)


def test_pages_are_the_list_on_both_databases(store):
    write(store, *(answer_of(f"c{n:03}", (37 * n) % 101 - 20.0, (1 + n % 9) / 10) for n in range(150)))
    for wanted in (only(), by_profit(), by_profit(Campaign(incentive_cost=90.0)), BY_CHURN):
        whole = store.at_risk("shop", wanted, limit=200).items
        assert read_through(store, wanted, 7) == whole
        assert len(whole) == 150


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (only(), "scores_ranked"),
        (only(risk="low"), "scores_ranked"),
        (only(reason="OVERDUE", changed_since=0), "scores_ranked"),
        (only(risk="low", stage="active", minimum_cltv=5.0), "scores_of_stage"),
        (by_profit(), "scores_ranked"),
        (BY_CHURN, "scores_by_churn"),
        (by_profit(risk="low", stage="active", minimum_cltv=5.0), "scores_of_stage"),
    ],
)
def test_a_list_is_found_in_an_index_without_a_look_at_the_rows(tmp_path, wanted, index):
    store = Store(f"sqlite:///{tmp_path}/scores.db")
    write(store, *(answer_of(name, risk="low") for name in "abc"))
    asked = []
    event.listen(store._engine, "before_cursor_execute", lambda _c, _k, said, given, *_: asked.append((said, given)))
    store.at_risk("shop", wanted, limit=1)
    told = [(said, given) for said, given in asked if "FROM scores" in said]
    with store.transaction() as connection:
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {said}", given).all() for said, given in told]
    store.close()
    found = [step[3] for plan in plans for step in plan if " scores" in step[3]]
    assert f"COVERING INDEX {index}" in found[0]
    assert all(f"COVERING INDEX {index}" in step or "PRIMARY KEY" in step for step in found)


# cursors


def test_a_cursor_goes_on_with_its_own_list_only(store):
    write(store, *(answer_of(name, float(n)) for n, name in enumerate("abc")))
    cursor = store.at_risk("shop", only(risk="low"), limit=1).next_cursor
    assert ids(store.at_risk("shop", only(risk="low"), after=cursor)) == ["b", "a"]
    for other in (only(), only(risk="high"), by_profit(risk="low"), Wanted(Filters(risk="low"), costs=COSTS)):
        with pytest.raises(InputError, match="another sort, other costs or other filters"):
            store.at_risk("shop", other, after=cursor)


def test_a_list_begun_keeps_its_instant(store, monkeypatch):
    began = now()
    write(store, *(answer_of(name, float(n)) for n, name in enumerate("abc")))
    on_worklist(store, a={"status": "snoozed", "snoozed_until": began + DAY})
    cursor = store.at_risk("shop", limit=1).next_cursor
    monkeypatch.setattr("serving.store.now", lambda: began + 2 * DAY)
    assert ids(store.at_risk("shop", after=cursor)) == ["b"]
    assert ids(store.at_risk("shop")) == ["c", "b", "a"]


# filters


def test_the_reason_that_raises_churn_most_is_a_filter(store):
    write(store, answer_of("a"))
    assert ids(store.at_risk("shop", only(reason="OVERDUE"))) == ["a"]
    assert ids(store.at_risk("shop", only(reason="TREND"))) == []
    with pytest.raises(InputError, match="OVERDUE, INACTIVE"):
        only(reason="overdue")


def segments_of(**ages: str | None) -> Segments:
    names = sorted(ages)
    return Segments(["age", "city"], pl.DataFrame({"customer_id": names, "age": [ages[n] for n in names], "city": "x"}))


def test_segments_are_filters(store):
    held = segments_of(a="65+", b="19-24", d=None)
    write(store, *(answer_of(name) for name in "abcde"), segments=held)
    assert ids(store.at_risk("shop", only(segments=(("age", "65+"),)))) == ["a"]
    assert ids(store.at_risk("shop", only(segments=(("city", "x"),)))) == ["a", "b", "d"]
    assert ids(store.at_risk("shop", by_profit(segments=(("age", "19-24"), ("city", "x"))))) == ["b"]
    assert ids(store.at_risk("shop", only(segments=(("age", "x' OR 1=1"),)))) == []
    with pytest.raises(InputError, match=r"segment: shoe(.|\n)*age, city"):
        store.at_risk("shop", only(segments=(("shoe", "44"),)))


def test_without_declared_segments_the_way_out_is_told(store):
    write(store, answer_of("a"))
    with pytest.raises(InputError, match="profile: segments"):
        store.at_risk("shop", only(segments=(("age", "65+"),)))


def test_segments_of_customers_without_a_profile_are_unknown():
    assert segments_of(b="65+").of(["a", "b", "c"]) == [None, {"age": "65+", "city": "x"}, None]
    assert Segments().of(["a"]) == [None]
    nobody = pl.DataFrame(schema={"customer_id": pl.String, "age": pl.String})
    assert Segments(["age"], nobody).of(["a"]) == [None]


# changes of the band


def test_a_band_that_changes_is_told_with_the_one_before(store):
    write(store, answer_of("falls", risk="high"), answer_of("stays", risk="low"), answer_of("goes"))
    write(store, answer_of("falls", risk="low"), answer_of("stays", risk="low"), answer_of("new", risk="low"))
    lines = {line.customer_id: line for line in store.at_risk("shop", only(changed_since="previous")).items}
    assert lines.keys() == {"falls", "new"}
    assert (lines["falls"].risk_before, lines["new"].risk_before) == ("high", None)
    assert lines["falls"].risk_since == to_text(store.latest_run("shop").scored_at)


def test_a_change_keeps_its_instant_until_the_next(store):
    for band in ("low", "high", "high"):
        write(store, answer_of("a", risk=band))
    (line,) = store.at_risk("shop", only(changed_since=11 * DAY)).items
    assert (line.risk_before, line.risk_since) == ("low", "1970-01-12T00:00:00.000001Z")
    assert ids(store.at_risk("shop", only(changed_since="previous"))) == []
    assert ids(store.at_risk("shop", only(changed_since=11 * DAY + 1))) == []


def test_in_the_first_run_nothing_changed(store):
    write(store, answer_of("a"))
    assert ids(store.at_risk("shop", only(changed_since="previous"))) == []
    assert ids(store.at_risk("shop", only(changed_since=0))) == []


def test_who_is_asked_about_again_changed(store):
    write(store, answer_of("a", risk="low"))
    write(store, answer_of("a", None, None))
    write(store, answer_of("a", risk="low"))
    assert [line.risk_before for line in store.at_risk("shop", only(changed_since="previous")).items] == [None]


def test_runs_of_one_instant_follow_one_another(store):
    for _ in range(3):
        write(store, answer_of("a"))
    assert store.latest_run("shop").scored_at == 11 * DAY + 2


# who is left out


def left_out(store: Store) -> dict[str, str | None]:
    """Everyone on the list with the reason why they must not be contacted."""
    every = store.at_risk("shop", only(include=frozenset({"suppressed", "snoozed"}))).items
    return {line.customer_id: line.suppressed for line in every}


def test_who_must_not_be_contacted_is_left_out_unless_asked_for(store):
    write(store, *(answer_of(name) for name in ("free", "never", "lately", "long ago", "control", "asleep")))
    on_worklist(
        store,
        never={"opted_out": True},
        lately={"contacted_at": now() - 27 * DAY},
        control={"held_out_until": now() + DAY},
        asleep={"status": "snoozed", "snoozed_until": now() + DAY},
    )
    on_worklist(store, **{"long ago": {"contacted_at": now() - 29 * DAY, "held_out_until": now() - DAY}})
    assert ids(store.at_risk("shop")) == ["free", "long ago"]
    assert ids(store.at_risk("shop", by_profit())) == ["free", "long ago"]
    assert ids(store.at_risk("shop", only(include=frozenset({"snoozed"})))) == ["asleep", "free", "long ago"]
    assert left_out(store) == {
        "free": None,
        "never": "opted_out",
        "lately": "contacted",
        "long ago": None,
        "control": "held_out",
        "asleep": None,
    }


def test_how_long_a_contact_counts_is_said_with_the_costs(store):
    write(store, answer_of("a"))
    on_worklist(store, a={"contacted_at": now() - 10 * DAY})
    assert ids(store.at_risk("shop", Wanted(costs=Campaign(rest_days=9.0)))) == ["a"]
    assert ids(store.at_risk("shop", Wanted(costs=Campaign(rest_days=11.0)))) == []


def test_the_status_is_a_filter_and_no_entry_is_open(store):
    write(store, *(answer_of(name) for name in "abcde"))
    on_worklist(
        store,
        b={"status": "assigned", "assignee": "Ann"},
        c={"status": "snoozed", "snoozed_until": now() + DAY},
        d={"status": "snoozed", "snoozed_until": now() - DAY},
        e={"status": "won"},
    )
    assert ids(store.at_risk("shop", only(status="open"))) == ["a", "d"]
    assert ids(store.at_risk("shop", only(status="snoozed"))) == ["c"]
    assert ids(store.at_risk("shop", by_profit(status="won"))) == ["e"]
    (line,) = store.at_risk("shop", only(status="assigned")).items
    assert (line.customer_id, line.status, line.assignee) == ("b", "assigned", "Ann")


def test_the_worklist_of_another_journey_says_nothing_here(store):
    write(store, answer_of("a"))
    write(store, answer_of("a"), journey="other")
    on_worklist(store, a={"opted_out": True})
    assert ids(store.at_risk("other")) == ["a"]
