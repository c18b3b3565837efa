"""What a campaign saved, by intention to treat, against numbers worked out by hand."""

from contextlib import closing
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from stores import answer_of

from features.errors import InputError
from features.journey import Campaign, Journey
from features.log import read
from features.schema import DAY, to_microseconds
from serving import campaigns
from serving.clock import now
from serving.events import stored
from serving.filters import Filters
from serving.outcomes import measure, outcome
from serving.planning import Cut
from serving.proposals import Proposal, create
from serving.sending import send
from serving.store import Store

START = to_microseconds(datetime(2024, 3, 1, tzinfo=UTC))
HORIZON = 28
SHOP = {
    "journey": "shop",
    "currency": "EUR",
    "events": [{"file": "events.parquet"}],
    "observed_until": "2024-04-01T00:00:00Z",
    "tasks": {
        "churn": {"no": "purchase", "within": "28d"},
        "cltv": {"sum": "purchase", "within": "56d", "margin": 0.5},
    },
}


ELDER = ("elder", -100.0, 1.0)  # a log is longer than the horizons


def log_of(folder, rows: list[tuple], extra=None, **keys):
    """The shop's journey and log: rows of customer, days after the start, value and event."""
    padded = [(*row, "purchase") if len(row) == 3 else row for row in [ELDER, *rows]]
    columns = {
        "customer_id": [row[0] for row in padded],
        "time": [START + int(row[1] * DAY) for row in padded],
        "value": [row[2] for row in padded],
        "event": [row[3] for row in padded],
    }
    frame = pl.DataFrame(columns, schema_overrides={"value": pl.Float64})
    frame.with_columns(pl.col("time").cast(pl.Datetime("us"))).write_parquet(folder / "events.parquet")
    return read(Journey.model_validate(SHOP | keys), folder, 1, extra)


def stored_campaign(seed: int = 1, sent_at: int | None = START):
    """A campaign that was sent, as the store gives it; its plan plays no part here."""
    fields = dict.fromkeys(campaigns.Stored._fields)
    return campaigns.Stored(
        **fields | {"id": 1, "journey": "shop", "horizon": HORIZON * DAY, "seed": seed, "sent_at": sent_at}
    )


def members(**arms: dict[str, float | None]) -> pl.DataFrame:
    rows = [(name, arm, stake) for arm, stakes in arms.items() for name, stake in stakes.items()]
    return pl.DataFrame(rows, schema={"customer_id": pl.String, "arm": pl.String, "at_stake": pl.Float64}, orient="row")


def arms_of(contacts: int, held: int, stake: float | None = 100.0) -> pl.DataFrame:
    return members(contact={f"c{n}": stake for n in range(contacts)}, holdout={f"h{n}": stake for n in range(held)})


BEFORE = [("c0", -5.0, 1.0)]


def test_an_outcome_by_hand(tmp_path):
    # 40 contacted, of whom 10 buy nothing; 20 held out, of whom 15 buy nothing; whoever buys spends 30.
    bought = [(f"c{n}", 3.0, 30.0) for n in range(10, 40)] + [(f"h{n}", 4.0, 30.0) for n in range(15, 20)]
    found = outcome(stored_campaign(), arms_of(40, 20), *log_of(tmp_path, BEFORE + bought), START)
    assert (found.contact.members, found.contact.churned) == (40, 10)
    assert (found.holdout.members, found.holdout.churned) == (20, 15)
    assert found.difference.value == pytest.approx(15 / 20 - 10 / 40)
    # Wilson: 15/20 in 0.5313 .. 0.8881, 10/40 in 0.1419 .. 0.4019.
    assert found.difference.low == pytest.approx(0.5 - np.hypot(0.75 - 0.53130, 0.40194 - 0.25), abs=1e-4)
    assert found.difference.high == pytest.approx(0.5 + np.hypot(0.88814 - 0.75, 0.25 - 0.14187), abs=1e-4)
    assert found.saved_customers.value == pytest.approx(20)
    assert found.saved_value.value == pytest.approx(40 * (100 * 15 / 20 - 100 * 10 / 40))
    assert found.more_value.value == pytest.approx(40 * (15 * 30 / 40 - 15 * 5 / 20))
    assert found.saved_value.low < found.saved_value.value < found.saved_value.high
    assert found.verdict == "saved"
    assert "25.0 % where contacted and 75.0 % in the hold-out" in found.why


def test_the_horizon_begins_when_the_campaign_was_sent_and_ends_before_its_end(tmp_path):
    day = {"c0": 0.0, "c1": HORIZON - 1e-6, "c2": float(HORIZON), "c3": -1e-6}
    rows = [(name, when, 1.0) for name, when in day.items()]
    found = outcome(stored_campaign(), arms_of(4, 0), *log_of(tmp_path, rows), START)
    assert found.contact.churned == 2  # c2 bought too late, c3 too early


def test_everyone_counts_in_the_arm_they_were_drawn_for(tmp_path):
    # c0 was never contacted, c1 is not even in the log any more: both were drawn.
    found = outcome(stored_campaign(), arms_of(12, 12), *log_of(tmp_path, [("h0", 2.0, 1.0)]), START)
    assert (found.contact.members, found.contact.churned, found.holdout.churned) == (12, 12, 11)
    assert found.verdict == "cannot tell"


def test_a_contact_is_no_purchase(tmp_path):
    rows = [*BEFORE, ("c0", 1.0, None, "contacted"), ("c1", 1.0, 5.0)]
    found = outcome(stored_campaign(), arms_of(10, 10), *log_of(tmp_path, rows), START)
    assert found.contact.churned == 9


def test_a_campaign_that_harmed_says_so(tmp_path):
    bought = [(f"h{n}", 4.0, 30.0) for n in range(40)]
    found = outcome(stored_campaign(), arms_of(40, 40), *log_of(tmp_path, BEFORE + bought), START)
    assert found.verdict == "lost"
    assert found.difference.high < 0
    assert "disadvantage" in found.why


@pytest.mark.parametrize(("contacts", "held"), [(9, 50), (50, 9), (0, 20), (20, 0)])
def test_groups_too_small_tell_nothing(tmp_path, contacts, held):
    bought = [(f"c{n}", 3.0, 30.0) for n in range(contacts)]
    found = outcome(stored_campaign(), arms_of(contacts, held), *log_of(tmp_path, BEFORE + bought), START)
    assert (found.verdict, found.difference, found.saved_customers, found.saved_value) == (
        "cannot tell",
        None,
        None,
        None,
    )
    assert "fewer than 10 in an arm" in found.why


def test_an_interval_with_zero_tells_nothing(tmp_path):
    bought = [(f"c{n}", 3.0, 30.0) for n in range(12)] + [(f"h{n}", 3.0, 30.0) for n in range(10)]
    found = outcome(stored_campaign(), arms_of(20, 20), *log_of(tmp_path, BEFORE + bought), START)
    assert found.verdict == "cannot tell"
    assert found.difference.low < 0 < found.difference.high
    assert "which may be none" in found.why


def test_what_is_unknown_of_value_is_left_out_of_value_alone(tmp_path):
    found = outcome(stored_campaign(), arms_of(20, 20, None), *log_of(tmp_path, BEFORE), START)
    assert found.saved_value is None
    assert found.more_value.value == 0.0
    without = {"churn": SHOP["tasks"]["churn"]}
    bare = outcome(stored_campaign(), arms_of(20, 20), *log_of(tmp_path, BEFORE, tasks=without), START)
    assert bare.more_value is None
    assert bare.saved_value.value == 0.0


def test_a_contractual_churn_is_told_by_its_event(tmp_path):
    rows = [*BEFORE, *((f"h{n}", 5.0, None, "cancelled") for n in range(18))]
    tasks = {"churn": {"does": "cancelled", "within": "28d"}}
    found = outcome(stored_campaign(), arms_of(20, 20), *log_of(tmp_path, rows, tasks=tasks), START)
    assert (found.contact.churned, found.holdout.churned, found.verdict) == (0, 18, "saved")


def test_before_the_horizon_is_over_the_days_left_are_told(tmp_path):
    journey, log = log_of(tmp_path, BEFORE, observed_until="2024-03-20T00:00:00Z")
    with pytest.raises(InputError, match=r"cannot tell yet: .* 9\.0 days before the campaign's horizon ends"):
        outcome(stored_campaign(), arms_of(20, 20), journey, log, START)


def test_a_campaign_that_was_not_sent_has_no_outcome(tmp_path):
    with pytest.raises(InputError, match="journeycast sent shop 1"):
        outcome(stored_campaign(sent_at=None), arms_of(20, 20), *log_of(tmp_path, BEFORE), START)


def test_the_interval_covers_what_a_campaign_truly_saved(tmp_path):
    # A hundred campaigns that keep 20 points of those who would leave, each read from a log of its own.
    rng, covered = np.random.default_rng(8), 0
    for seed in range(100):
        stays = {"c": rng.random(150) < 0.7, "h": rng.random(60) < 0.5}
        bought = [(f"{arm}{n}", 2.0, 10.0) for arm, kept in stays.items() for n in np.flatnonzero(kept)]
        found = outcome(stored_campaign(seed), arms_of(150, 60), *log_of(tmp_path, BEFORE + bought), START)
        covered += found.difference.low <= 0.2 <= found.difference.high
    assert 89 <= covered <= 100


def test_a_campaign_from_the_list_to_its_outcome(url, tmp_path):
    rng = np.random.default_rng(2)
    with closing(Store(url)) as store:
        answers = [answer_of(f"c{n:03}", float(rng.gamma(2, 30)), float(rng.uniform(0.2, 0.8))) for n in range(400)]
        store.write_run("shop", START, START, {"churn": 1, "cltv": 1}, answers)
        proposal = Proposal("spring", Filters(), Campaign(), Cut(), holdout=0.4, seed=3)
        made = create(store, "shop", proposal, now())
        send(store, "shop", made.id, START, "email", now())
        arms = {one.customer_id: one.arm for one in campaigns.page(store, "shop", made.id, limit=1000).items}
        stays = {name for name, arm in arms.items() if rng.random() < (0.8 if arm == "contact" else 0.4)}
        rows = [(name, -9.0, 5.0) for name in arms] + [(name, 5.0, 20.0) for name in sorted(stays)]
        journey, log = log_of(tmp_path, rows, stored(store, "shop"))
        assert log.events.filter(pl.col("event") == "contacted").height == made.plan.contacts
        sent = campaigns.read(store, "shop", made.id)
        found = measure(store, sent, journey, log, now())
        campaigns.write_outcome(store, made.id, found.model_dump())
        assert campaigns.read(store, "shop", made.id).outcome == found.model_dump()
    lost = {arm: sum(1 for name in arms if arms[name] == arm and name not in stays) for arm in ("contact", "holdout")}
    assert (found.contact.churned, found.holdout.churned) == (lost["contact"], lost["holdout"])
    assert found.verdict == "saved"
