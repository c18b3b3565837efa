"""Held-out customers stand for those of their list who were contacted, when a model is judged."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sqlalchemy import update
from test_realised import CUTOFF, SHOP, expect, log, printed

from features.errors import InputError
from features.schema import CONTACTED, DAY, to_datetime
from serving import proposals, standing_for
from serving.compared import Asked
from serving.filters import Filters
from serving.metric_intervals import intervals
from serving.planning import Cut
from serving.proposals import Proposal
from serving.realised import Lookout
from serving.sending import send
from serving.show_outcomes import outcomes_tables
from serving.store import Store
from serving.tables import campaigns
from training.estimated import estimated
from training.grades import lead
from training.metrics import churn_metrics, log_losses, repeated
from training.two_samples import delong

LISTED = pl.DataFrame(
    [
        ("held", "holdout", 0.1, 1, 20),
        ("called", "contact", 0.1, 1, 20),
        ("held of the first made", "contact", 0.2, 3, 20),
        ("held of the first made", "holdout", 0.5, 2, 21),
        ("held of the second", "contact", 0.5, 2, 21),
        ("held of the second", "holdout", 0.2, 3, 20),
        ("later", "holdout", 0.1, 4, 50),
    ],
    schema=standing_for._SCHEMA,
    orient="row",
)


def test_a_customer_held_out_of_the_list_that_was_made_first_stands_for_as_many_as_its_share_says():
    customers = pl.Series(["later", "nobody's", *LISTED["customer_id"].unique(maintain_order=True)[:-1]])
    found = standing_for.drawn(LISTED, customers, 20, 50)
    assert found.to_list() == [1, 1, 10, 0, 2, 0]


def campaign(store, at: float, *, sent: float | None = None, name: str = "spring", rehearsal: bool = False, **draw):
    """A campaign of everyone at high risk, half held out unless said, made on a day and sent on one."""
    of_high = Filters(risk="high")
    asked = Proposal(name, of_high, SHOP.campaign, Cut(capacity=100), **{"holdout": 0.5, "seed": 3} | draw)
    made = proposals.create(store, "shop", asked, int(at * DAY))
    if sent is not None:
        now = int(max(at, sent) * DAY)
        send(store, "shop", made.id, int(sent * DAY), "email", now, rehearsal=rehearsal)
    return made


MANY = {f"c{n:03}": 0.8 if n < 200 else 0.1 for n in range(400)}


@pytest.mark.parametrize("order", [("high", None), (None, "high")])
@pytest.mark.parametrize(("sent", "seeds"), [((0, 1), (3, 4)), ((1, 0), (3, 4)), ((0, 1), (3, 3))])
def test_of_lists_that_overlap_the_held_out_stand_for_each_part_of_them(tmp_path, order, sent, seeds):
    """Those at high risk are on two lists, all others on one, made and sent in any order."""
    stood: dict[str, list[float]] = {"high": [], "others": []}
    for number in range(4):
        with closing(Store(f"sqlite:///{tmp_path}/{number}.db")) as store:
            expect(store, MANY)
            made = [
                proposals.create(store, "shop", proposal(f"{n}", Filters(risk=risk), 10 * number + seed), 11 * DAY + n)
                for n, (risk, seed) in enumerate(zip(order, seeds, strict=True))
            ]
            for n in sent:
                try:
                    send(store, "shop", made[n].id, 12 * DAY + n, "email", 13 * DAY)
                except InputError:  # everybody on it has been contacted by the other
                    continue
            with store.transaction() as connection:
                listed = standing_for.lists(connection, "shop", 0, 20 * DAY, pl.Series(list(MANY)))
                said = listed.select("customer_id").unique()
        drawn = standing_for.drawn(listed, pl.Series(list(MANY)), 0, 20 * DAY).to_numpy()
        stood["high"].append(drawn[:200].sum())
        stood["others"].append(drawn[200:].sum())
        assert len(said) >= 200
    # Of 200 a fifth is held out: their weight has a standard error of 28 in one world, of 14 in the mean of four.
    assert [np.mean(each) for each in stood.values()] == pytest.approx([200, 200], abs=42)


def proposal(name: str, whom: Filters, seed: int) -> Proposal:
    return Proposal(name, whom, SHOP.campaign, Cut(capacity=2000), holdout=0.2, seed=seed)


def test_what_is_told_of_a_sending_later_changes_no_report_of_a_day_before(store):
    expect(store, HALF)
    expect(store, HALF, 44 * DAY)  # the answers of day 44 knew of no contact
    made = campaign(store, 45)
    journey = SHOP.model_copy(update={"observed_until": to_datetime(60 * DAY)})

    def known(at: float | None) -> dict:
        lookout = Lookout(store, journey, None if at is None else int(at * DAY), anew=True)
        lookout.add(log(*((name, 5, "buy") for name in HALF)))
        return next(lookout.found()).report(journey)["tasks"]["churn"]["judged"]

    before = known(40)
    with store.transaction(writes=True) as connection:  # as if it had been made on day 11
        connection.execute(update(campaigns).values(created_at=11 * DAY, cutoff=CUTOFF))
    send(store, "shop", made.id, 12 * DAY, "email", 45 * DAY)
    assert known(40) == before
    assert (before["listed"], known(None)["listed"]) == (0, 20)


HALF = {f"c{n:02}": 0.8 if n < 20 else 0.1 for n in range(40)}


def arms(store, begins: float = 0, ends: float = 100) -> set[str]:
    listed = standing_for.lists(store, "shop", int(begins * DAY), int(ends * DAY), pl.Series(list(HALF)))
    return set(listed["arm"])


def test_only_lists_that_were_really_sent_and_held_some_out_count(store):
    expect(store, HALF)
    campaign(store, 11)
    campaign(store, 12, name="on paper", sent=11, rehearsal=True)
    with store.transaction() as connection:
        assert arms(connection) == set()
    campaign(store, 11, name="all of them", sent=11, holdout=0.0)
    with store.transaction() as connection:
        assert arms(connection) == set()


def judged(store, came_back) -> dict:
    lookout = Lookout(store, SHOP, anew=True)
    lookout.add(log(*((name, 5, "buy") for name in HALF), *came_back))
    [found] = lookout.found()
    return found.report(SHOP)


def test_a_model_is_judged_as_if_nobody_had_been_contacted(store):
    """All at high risk would leave but for the contact, which keeps everyone; those at low risk stay."""
    expect(store, HALF)
    made = campaign(store, 11, sent=11)
    with store.transaction() as connection:
        listed = standing_for.lists(connection, "shop", 11 * DAY, 12 * DAY, pl.Series(list(HALF)))
    held = set(listed.filter(arm="holdout")["customer_id"])
    called = set(HALF) - held - {f"c{n:02}" for n in range(20, 40)}
    assert len(held) == made.plan.held_out == 11  # of this seed
    stayed = [name for name in HALF if name not in held]
    report = judged(store, [(name, 11.5, CONTACTED) for name in called] + [(name, 20, "buy") for name in stayed])
    churn = report["tasks"]["churn"]
    assert churn["not_contacted"]["all"]["customers"] == 31
    found = churn["judged"]
    assert (found["customers"], found["held_out"], found["listed"]) == (31, 11, 20)
    assert found["expected"] == pytest.approx((20 * 0.8 + 20 * 0.1) / 40)
    assert found["realised"] == pytest.approx(20 / 40)
    assert churn["metrics"]["brier"] == pytest.approx((20 * 0.2**2 + 20 * 0.1**2) / 40)
    assert churn["intervals"]["brier"][0] < churn["metrics"]["brier"] < churn["intervals"]["brier"][1]
    shown = printed(outcomes_tables(report))
    assert (
        "Judged by 31 customers who were not contacted; 11 of them, held out, stand for 20 on lists: 45.0 % expected"
        in shown
    )


def test_whom_a_list_wanted_and_could_not_reach_judges_no_model(store):
    expect(store, HALF)
    campaign(store, 11, sent=11)
    churn = judged(store, [])["tasks"]["churn"]  # the log has none of the contacts
    assert (churn["not_contacted"]["all"]["customers"], churn["judged"]["customers"]) == (40, 31)


def test_a_model_whose_lists_held_nobody_out_is_judged_by_whoever_was_not_contacted(store):
    expect(store, HALF)
    campaign(store, 11, sent=11, holdout=0.0)
    churn = judged(store, [("c00", 12, CONTACTED)])["tasks"]["churn"]
    assert (churn["judged"]["customers"], churn["judged"]["held_out"]) == (39, 0)


def test_of_a_few_held_out_nobody_is_made_the_whole_list(store):
    expect(store, HALF)
    made = campaign(store, 11, sent=11, holdout=0.2)
    assert made.plan.held_out < 10
    report = judged(store, [("c00", 12, CONTACTED)])
    found = report["tasks"]["churn"]["judged"]
    assert (found["customers"], found["stand_for_lists"]) == (39, False)
    assert "of 20 customers on lists were held out, too few to stand for the others" in printed(outcomes_tables(report))


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0, 10.0]), st.booleans()), max_size=60))
def test_all_together_stand_for_everyone_who_was_on_a_list_or_left_alone(customers):
    drawn, contacted = (np.array(column) for column in zip(*customers, strict=True)) if customers else ([], [])
    drawn, contacted = np.asarray(drawn, float), np.asarray(contacted, bool)
    found = standing_for.standing(drawn, contacted)
    assert not found.weight[contacted].any()
    alone = int(((drawn == 1) & ~contacted).sum())
    everyone = alone + found.listed if found.enough else int((~contacted).sum())
    assert found.weight.sum() == pytest.approx(everyone)


TIMES = st.lists(st.integers(1, 5), min_size=12, max_size=40).map(np.array)


@given(TIMES, st.integers(0, 10_000))
def test_a_metric_of_customers_who_stand_for_others_is_that_of_all_of_them(times, seed):
    rng = np.random.default_rng(seed)
    said, came = rng.uniform(0.05, 0.95, len(times)), rng.integers(0, 2, len(times)).astype(float)
    came[:2] = (0, 1)
    rows = repeated(times.astype(float), said)
    assert rows.tolist() == np.repeat(np.arange(len(times)), times).tolist()
    left, weight = came == 1, times.astype(float)
    area, _ = delong(said[left], said[~left], weight[left], weight[~left])
    assert area == pytest.approx(roc_auc_score(came[rows], said[rows]))
    losses, others = log_losses(came, said), log_losses(came, np.full(len(came), 0.5))
    found = lead(losses, others, np.arange(len(came)), weight=weight)
    assert found.ahead == pytest.approx(1 - losses[rows].sum() / others[rows].sum())


@given(st.lists(st.floats(0.3, 9), min_size=1, max_size=50))
def test_shares_of_a_customer_are_rounded_so_that_no_part_of_the_order_is_short_of_one(weights):
    by = np.arange(len(weights))
    counted = np.bincount(repeated(np.array(weights), by.astype(float)), minlength=len(weights))
    assert np.abs(np.cumsum(counted) - np.cumsum(weights)).max() <= 0.5 + 1e-9


def test_intervals_of_metrics_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(5)

    def drawn(size: int) -> Asked:
        """Customers of whom one in four stands for four, and whose churn is what was said."""
        said = 1 / (1 + np.exp(-rng.normal(-1, 1.2, size)))
        came = (rng.random(size) < said).astype(float)
        kept = (said < 0.3) | (rng.random(size) < 0.25)
        said, came = said[kept], came[kept]
        rows = pl.DataFrame({"customer_id": pl.arange(0, len(said), eager=True).cast(pl.String)})
        return Asked(rows, said, came, said, came, np.where(said < 0.3, 1.0, 4.0))

    every = drawn(400_000)
    rows = repeated(every.weight, every.said)
    truth = churn_metrics(every.came[rows], every.said[rows])
    held = dict.fromkeys(("roc_auc", "log_loss", "brier", "top_decile_lift"), 0)
    for _ in range(60):
        for name, told in intervals("churn", drawn(400), {}).items():
            held[name] += told.low <= truth[name] <= told.high
    assert min(held.values()) >= 52, held  # of 57 at 95 %


def test_what_is_to_be_expected_of_few_customers_is_no_surer_for_their_standing_for_many():
    said = np.linspace(0.05, 0.6, 200)
    alone, many = (estimated("churn", said, rows=np.repeat(np.arange(200), n))["churn_rate"] for n in (1, 4))
    assert many.value == pytest.approx(alone.value, abs=0.01)
    assert many.high - many.low == pytest.approx(alone.high - alone.low, rel=0.2)
