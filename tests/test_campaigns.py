"""Campaigns made, listed and sent."""

from contextlib import closing

import numpy as np
import pytest
from sqlalchemy import delete
from stores import answer_of, ids, write

from features.errors import InputError, SuppressedError
from features.journey import Campaign
from features.schema import DAY
from serving import campaigns, worklist
from serving.campaigns import UnknownCampaignError
from serving.clock import now
from serving.events import stored
from serving.filters import Filters, Wanted
from serving.planning import Cut
from serving.proposals import Proposal, affordable, create
from serving.sending import send
from serving.store import NoScoresError, Store
from serving.suppression import Moment
from serving.tables import runs

COSTS = Campaign(contact_cost=1.0, incentive_cost=5.0, accept_rate=0.2)
NOW = now()
HORIZON = 28 * DAY
EVERYONE = Wanted(Filters(include=frozenset({"suppressed", "snoozed"})), "profit", COSTS)


def fill(store: Store, size: int = 200) -> None:
    """Customers of whom some two thirds pay."""
    rng = np.random.default_rng(1)
    found = zip(rng.gamma(2, 25, size).tolist(), rng.uniform(0.05, 0.95, size).tolist(), strict=True)
    write(store, *(answer_of(f"c{n:03}", loss, p) for n, (loss, p) in enumerate(found)))


def make(store: Store, *, at: int = NOW, **said):
    fields = {"name": "autumn", "filters": Filters(), "costs": COSTS, "seed": 5, "holdout": 0.2}
    return create(store, "shop", Proposal(**fields | said), at)


def members(store: Store, campaign, arm=None, limit=1000):
    return campaigns.page(store, "shop", campaign.id, arm=arm, limit=limit).items


def names(found) -> list[str]:
    return [one.customer_id for one in found]


@pytest.fixture
def filled(store):
    fill(store)
    return store


# made


def test_a_campaign_is_the_top_of_the_list(filled):
    before = filled.at_risk("shop", Wanted(Filters(), "profit", COSTS), limit=1000).items
    made = make(filled, cut=Cut(capacity=50))
    listed = before[: made.plan.length]
    found = members(filled, made)
    assert names(found) == names(listed)
    assert [one.place for one in found] == list(range(1, made.plan.length + 1))
    assert [one.contact_profit for one in found] == pytest.approx([line.contact_profit for line in listed])


def test_the_arms_share_the_list_and_nobody_is_in_both(filled):
    made = make(filled)
    arms = {arm: set(names(members(filled, made, arm))) for arm in ("contact", "holdout")}
    assert arms["contact"] | arms["holdout"] == set(names(members(filled, made)))
    assert not arms["contact"] & arms["holdout"]
    assert (len(arms["contact"]), len(arms["holdout"])) == (made.plan.contacts, made.plan.held_out)
    assert 0.08 < made.plan.held_out / made.plan.length < 0.35


def test_by_default_the_list_is_cut_where_it_pays_most(filled):
    made = make(filled)
    every = filled.at_risk("shop", EVERYONE, limit=1000).items
    paying = [line.customer_id for line in every if line.contact_profit > 0]
    assert names(members(filled, made)) == paying
    assert 0 < made.plan.length < made.plan.listed == 200


def test_a_campaign_is_read_as_it_was_made(filled):
    made = make(filled, filters=Filters(risk="high"), cut=Cut(budget=60.0))
    assert campaigns.read(filled, "shop", made.id) == made
    assert (made.name, made.run_id, made.horizon, made.currency) == ("autumn", 1, HORIZON, "EUR")
    assert (made.filters, made.costs, made.cut) == ({"risk": "high"}, COSTS, Cut(budget=60.0))
    assert made.plan.expected_cost <= 60
    assert (made.sent_at, made.until, made.outcome) == (None, None, None)


def test_the_newest_campaigns_come_first(filled):
    made = [make(filled, name=name) for name in "abc"]
    assert [one.name for one in campaigns.newest(filled, "shop", 2)] == ["c", "b"]
    assert campaigns.newest(filled, "other", 9) == []
    with pytest.raises(UnknownCampaignError, match="a campaign of other"):
        campaigns.read(filled, "other", made[0].id)


def test_a_seed_draws_the_same_hold_out_again_and_none_draws_a_new_one(filled):
    first = make(filled)
    later = NOW + HORIZON  # an unsent campaign's hold-out is free again by then
    again, other = make(filled, at=later), make(filled, at=2 * HORIZON + NOW, seed=None)
    assert names(members(filled, first, "holdout")) == names(members(filled, again, "holdout"))
    assert names(members(filled, first, "holdout")) != names(members(filled, other, "holdout"))
    assert 0 <= other.seed < 2**53


def test_members_are_paged(filled):
    made = make(filled, cut=Cut(capacity=40))
    found, after = [], None
    while after is not None or not found:
        page = campaigns.page(filled, "shop", made.id, arm="contact", limit=7, after=after)
        found, after = found + page.items, page.next_cursor
    assert found == members(filled, made, "contact")
    cursor = campaigns.page(filled, "shop", made.id, limit=7).next_cursor
    with pytest.raises(InputError, match="belongs to another campaign"):
        campaigns.page(filled, "shop", make(filled).id, after=cursor)
    with pytest.raises(InputError, match="is not a cursor"):
        campaigns.page(filled, "shop", made.id, after="WzFd")


def test_who_must_not_be_contacted_is_in_no_campaign(filled):
    top = names(filled.at_risk("shop", EVERYONE, limit=3).items)
    worklist.change(filled, "shop", top[0], {"opted_out": True}, Moment(NOW, 28.0))
    worklist.change(filled, "shop", top[1], {"status": "contacted"}, Moment(NOW, 28.0))
    worklist.change(filled, "shop", top[2], {"snoozed_until": NOW + DAY}, Moment(NOW, 28.0))
    assert not set(top) & set(names(members(filled, make(filled))))
    assert make(filled, filters=Filters(status="snoozed")).plan.listed == 1
    with pytest.raises(InputError, match="nobody is on this list"):
        make(filled, filters=Filters(status="contacted"))


def test_a_campaign_outlives_its_run(url):
    with closing(Store(url, keep=1)) as store:
        fill(store)
        made = make(store)
        assert len(campaigns.contact_list(store, "shop", made.id, NOW)) == made.plan.contacts
        fill(store)
        assert len(members(store, made)) == made.plan.length
        with pytest.raises(InputError, match="the run 1 it was cut from is no longer stored"):
            campaigns.contact_list(store, "shop", made.id, NOW)


def test_the_contact_list_is_the_contact_arm_in_order(filled):
    made = make(filled, cut=Cut(capacity=25))
    lines = campaigns.contact_list(filled, "shop", made.id, NOW)
    assert names(lines) == names(members(filled, made, "contact"))
    assert lines[0].contact_cost == COSTS.contact_cost


def test_a_run_without_values_can_be_cut_at_a_capacity_only(store):
    answers = [answer_of(name, None, p) for name, p in (("a", 0.2), ("b", 0.9), ("c", 0.5))]
    write(store, *(one.model_copy(update={"cltv": None}) for one in answers))
    made = make(store, cut=Cut(capacity=2), holdout=0.0)
    assert names(members(store, made)) == ["b", "c"]
    assert (made.plan.expected_profit, made.plan.best, made.currency) == (None, None, None)
    with pytest.raises(InputError, match="knows nobody's value"):
        make(store)


def test_without_scores_there_is_no_campaign(store):
    with pytest.raises(NoScoresError, match="journeycast score shop"):
        make(store)


def test_a_budget_buys_the_top_of_any_list(filled):
    wanted = Wanted(Filters(), "profit", COSTS)
    length = affordable(filled, "shop", wanted, 60.0, NOW)
    lines = filled.at_risk("shop", wanted, limit=length + 1).items
    spent = [c.contact_cost + c.incentive_cost * (1 - c.churn_probability * (1 - c.accept_rate)) for c in lines]
    assert sum(spent[:-1]) <= 60 < sum(spent)


# sent


def test_sending_writes_a_contact_for_each_of_the_contact_arm_only(filled):
    made = make(filled, at=NOW - DAY)
    done = send(filled, "shop", made.id, NOW - 1, "email", NOW)
    found = stored(filled, "shop")
    assert found["customer_id"].to_list() == names(members(filled, made, "contact"))
    assert set(found.select("time", "event", "channel", "known_at").rows()) == {
        (NOW - 1, "contacted", "email", NOW - 1)
    }
    assert found["event_id"].n_unique() == made.plan.contacts
    assert (done.sent_at, done.until, done.channel) == (NOW - 1, NOW - 1 + HORIZON, "email")
    assert done.contacted == made.plan.contacts


def test_sending_twice_changes_nothing(filled):
    made = make(filled)
    first = send(filled, "shop", made.id, NOW, "email", NOW)
    assert send(filled, "shop", made.id, NOW + DAY, "phone", NOW + DAY) == first
    assert stored(filled, "shop").height == made.plan.contacts


def test_who_was_sent_a_campaign_is_left_alone_and_so_is_the_hold_out(filled):
    made = make(filled)
    send(filled, "shop", made.id, NOW, None, NOW)
    listed = {line.customer_id: line for line in filled.at_risk("shop", EVERYONE, limit=1000).items}
    for one in members(filled, made):
        expected = ("contacted", "contacted") if one.arm == "contact" else ("open", "held_out")
        assert (listed[one.customer_id].status, listed[one.customer_id].suppressed) == expected
    assert not set(ids(filled.at_risk("shop", limit=1000))) & set(names(members(filled, made)))


def test_the_hold_out_is_free_again_when_the_horizon_is_over(filled, monkeypatch):
    made = make(filled)
    send(filled, "shop", made.id, NOW, None, NOW)
    monkeypatch.setattr("serving.store.now", lambda: NOW + HORIZON)
    assert len(ids(filled.at_risk("shop", limit=1000))) == 200


def test_who_may_not_be_contacted_any_more_stays_in_the_arm_but_is_not_contacted(filled):
    made = make(filled)
    first, second, *_ = names(members(filled, made, "contact"))
    worklist.change(filled, "shop", first, {"opted_out": True}, Moment(NOW, 28.0))
    worklist.change(filled, "shop", second, {"status": "contacted", "contacted_at": NOW - DAY}, Moment(NOW, 28.0))
    done = send(filled, "shop", made.id, NOW, None, NOW)
    assert done.contacted == made.plan.contacts - 2
    sent = stored(filled, "shop").filter(stored(filled, "shop")["time"] == NOW)["customer_id"].to_list()
    assert not {first, second} & set(sent)
    assert len(members(filled, made, "contact")) == made.plan.contacts


def test_two_campaigns_do_not_spoil_each_other(filled):
    one = make(filled, seed=1, cut=Cut(capacity=30))
    two = make(filled, seed=2, cut=Cut(capacity=60))
    held = {made.id: set(names(members(filled, made, "holdout"))) for made in (one, two)}
    assert not held[one.id] & set(names(members(filled, two)))
    skipped = held[two.id] & set(names(members(filled, one, "contact")))
    assert skipped
    sent = [send(filled, "shop", made.id, NOW, None, NOW).contacted for made in (one, two)]
    assert sent[0] == 30 - len(skipped)
    assert 0 < sent[1] < 60  # some of them were contacted by the first
    found = stored(filled, "shop")["customer_id"].to_list()
    assert len(found) == len(set(found)) == sum(sent)
    assert not (held[one.id] | held[two.id]) & set(found)


def test_the_hold_out_is_left_alone_from_the_draw_on(filled):
    held = names(members(filled, make(filled), "holdout"))
    assert not set(held) & set(ids(filled.at_risk("shop", limit=1000)))
    with pytest.raises(SuppressedError, match="a contact spoils its comparison"):
        worklist.change(filled, "shop", held[0], {"status": "contacted"}, Moment(NOW, 28.0))
    told = worklist.change(filled, "shop", held[0], {"status": "contacted", "override": True}, Moment(NOW, 28.0))
    assert told.status == "contacted"


def test_a_campaign_that_can_contact_nobody_is_not_sent(filled):
    made = make(filled, cut=Cut(capacity=3))
    for name in names(members(filled, made, "contact")):
        worklist.change(filled, "shop", name, {"opted_out": True}, Moment(NOW, 28.0))
    with pytest.raises(InputError, match="everyone of the contact arm opted out"):
        send(filled, "shop", made.id, NOW, None, NOW)
    assert campaigns.read(filled, "shop", made.id).sent_at is None


def test_what_the_worklist_knew_is_kept_when_a_campaign_is_sent(filled):
    made = make(filled)
    (first, *_), (held, *_) = (names(members(filled, made, arm)) for arm in ("contact", "holdout"))
    for name in (first, held):
        worklist.change(
            filled, "shop", name, {"note": "kind", "status": "assigned", "assignee": "Ann"}, Moment(NOW, 28.0)
        )
    send(filled, "shop", made.id, NOW, None, NOW)
    found = [worklist.entry(filled, "shop", name, Moment(NOW, 28.0)) for name in (first, held)]
    assert [(one.status, one.note, one.assignee) for one in found] == [
        ("contacted", "kind", "Ann"),
        ("assigned", "kind", "Ann"),
    ]


def test_sending_keeps_who_was_won_or_lost(filled):
    made = make(filled)
    first, second, *_ = names(members(filled, made, "contact"))
    for name, status in ((first, "won"), (second, "lost")):
        worklist.change(filled, "shop", name, {"status": status}, Moment(NOW, 28.0))
    send(filled, "shop", made.id, NOW, None, NOW)
    found = [worklist.entry(filled, "shop", name, Moment(NOW, 28.0)) for name in (first, second)]
    assert [(one.status, one.suppressed) for one in found] == [("won", "contacted"), ("lost", "contacted")]


@pytest.mark.parametrize("at", [NOW - 1, NOW + 1], ids=["before", "future"])
def test_a_campaign_cannot_be_sent_before_it_was_made_or_in_the_future(filled, at):
    made = make(filled)
    with pytest.raises(InputError, match="when the campaign was made, and now"):
        send(filled, "shop", made.id, at, None, NOW)
    assert stored(filled, "shop").height == 0


def test_a_rehearsal_lies_before_the_campaign_and_contacts_nobody(filled):
    made = make(filled)
    for at in (10 * DAY - 1, NOW):
        with pytest.raises(InputError, match="is no rehearsal"):
            send(filled, "shop", made.id, at, None, NOW, rehearsal=True)
    done = send(filled, "shop", made.id, NOW - DAY, None, NOW, rehearsal=True)
    assert (done.rehearsal, done.contacted, done.until) == (True, 0, NOW - DAY + HORIZON)
    assert stored(filled, "shop").height == 0
    assert set(names(members(filled, made, "contact"))) <= set(ids(filled.at_risk("shop", limit=1000)))


def test_a_run_that_does_not_know_its_horizon_makes_no_campaign(filled):
    with filled.transaction(writes=True) as connection:
        connection.execute(runs.update().values(horizon=None))
    with pytest.raises(InputError, match="score again"):
        make(filled)


def test_a_campaign_goes_with_its_members(filled):
    made = make(filled)
    with filled.transaction(writes=True) as connection:
        connection.execute(delete(campaigns.campaigns).where(campaigns.campaigns.c.id == made.id))
        assert connection.execute(campaigns.of_campaign(made.id)).all() == []
