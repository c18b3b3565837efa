"""Campaigns: a list cut, drawn and stored, and later marked as sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from sqlalchemy import Connection, Select, select, update

from features.errors import InputError
from features.journey import Campaign as Costs
from serving import cursors
from serving.answers import AtRiskCustomer
from serving.cursors import Place
from serving.listing import named
from serving.planning import Cut, Plan
from serving.runs import WHOLE
from serving.store import Store
from serving.suppression import Moment
from serving.tables import Run, campaigns, members, runs

Arm: TypeAlias = Literal["contact", "holdout"]
CONTACT: Arm = "contact"
HOLDOUT: Arm = "holdout"


class UnknownCampaignError(InputError):
    """The store holds no such campaign of this journey."""


class Stored(NamedTuple):
    """A campaign as it is stored; instants are microseconds, `horizon` is that of churn."""

    id: int
    journey: str
    name: str
    run_id: int
    cutoff: int
    horizon: int
    currency: str | None
    created_at: int
    filters: dict[str, Any]
    costs: Costs
    cut: Cut
    holdout: float
    seed: int
    plan: Plan
    sent_at: int | None
    channel: str | None
    contacted: int | None
    outcome: dict[str, Any] | None
    erased: int | None = None  # members who were erased since; null: none

    @property
    def until(self) -> int | None:
        """The end of its horizon; null: it was not sent."""
        return None if self.sent_at is None else self.sent_at + self.horizon

    @property
    def rehearsal(self) -> bool:
        """Whether it was sent, as it were, before it was made."""
        return self.sent_at is not None and self.sent_at < self.created_at


class Member(NamedTuple):
    """One customer of a campaign, with what the place on the list was given for."""

    customer_id: str
    place: int
    arm: Arm
    churn_probability: float
    at_stake: float | None
    contact_profit: float | None


class Members(NamedTuple):
    """A page of a campaign's members in the order of the list."""

    items: list[Member]
    next_cursor: str | None


def of_id(connection: Connection, journey: str, campaign_id: int, *, lock: bool = False) -> Stored:
    """A campaign of a journey.

    Raises
    ------
    UnknownCampaignError
        Where there is none of this id.
    """
    wanted = select(campaigns).where(campaigns.c.journey == journey, campaigns.c.id == campaign_id)
    row = connection.execute(wanted.with_for_update() if lock else wanted).one_or_none()
    if row is None:
        raise UnknownCampaignError(
            "campaign", str(campaign_id), f"the id of a campaign of {journey}", "see GET /v1/campaigns"
        )
    return _stored(row._mapping)


def read(store: Store, journey: str, campaign_id: int) -> Stored:
    """`of_id` in a transaction of its own."""
    with store.transaction() as connection:
        return of_id(connection, journey, campaign_id)


def newest(store: Store, journey: str, limit: int) -> list[Stored]:
    """A journey's campaigns, the newest first."""
    wanted = select(campaigns).where(campaigns.c.journey == journey).order_by(campaigns.c.id.desc()).limit(limit)
    with store.transaction() as connection:
        return [_stored(row._mapping) for row in connection.execute(wanted).all()]


def _stored(row: Mapping[Any, Any]) -> Stored:
    fields = {name: row[name] for name in Stored._fields if name not in ("costs", "cut", "plan")}
    costs, cut = Costs.model_validate(row["costs"]), Cut(row["budget"], row["capacity"])
    return Stored(**fields, costs=costs, cut=cut, plan=Plan.model_validate(row["plan"]))


def page(
    store: Store, journey: str, campaign_id: int, *, arm: Arm | None = None, limit: int = 50, after: str | None = None
) -> Members:
    """A page of a campaign's members, in the order of the list.

    Raises
    ------
    UnknownCampaignError
        Where there is no such campaign.
    InputError
        Where `after` is not a cursor of it.
    """
    begun = cursors.decode_place(after) if after is not None else Place(campaign_id, 0)
    if begun.campaign_id != campaign_id:
        raise InputError("cursor", "it belongs to another campaign", "the next_cursor of this campaign's members")
    wanted = of_campaign(campaign_id, arm).where(members.c.place > begun.place).limit(limit + 1)
    with store.transaction() as connection:
        of_id(connection, journey, campaign_id)
        rows = connection.execute(wanted).all()
    found = [Member(*row) for row in rows[:limit]]
    more = len(rows) > limit
    return Members(found, cursors.encode(Place(campaign_id, found[-1].place)) if more else None)


def of_campaign(campaign_id: int, arm: Arm | None = None) -> Select[*tuple[Any, ...]]:
    """The columns of `Member` of a campaign's members, in the order of the list."""
    found = select(*(members.c[name] for name in Member._fields)).where(members.c.campaign_id == campaign_id)
    return (found if arm is None else found.where(members.c.arm == arm)).order_by(members.c.place)


def contact_list(store: Store, journey: str, campaign_id: int, now: int) -> list[AtRiskCustomer]:
    """Those of the contact arm who may be contacted now as lines of the list, in its order.

    Raises
    ------
    UnknownCampaignError
        Where there is no such campaign.
    InputError
        Where the run it was cut from is no longer stored.
    """
    with store.transaction() as connection:
        campaign = of_id(connection, journey, campaign_id)
        row = connection.execute(select(runs).where(runs.c.id == campaign.run_id, WHOLE)).one_or_none()
        if row is None:
            raise InputError("campaign", f"the run {campaign.run_id} it was cut from is no longer stored")
        moment = Moment(now, campaign.costs.rest_days)
        chosen = of_campaign(campaign_id, CONTACT).order_by(None).subquery("chosen")
        lines = named(connection, Run(**row._mapping), campaign.costs, chosen, moment)
        return [line for line in lines if line.suppressed is None]


def write_outcome(store: Store, campaign_id: int, outcome: dict[str, Any]) -> None:
    """Keep what was measured; what was measured before is replaced."""
    with store.transaction(writes=True) as connection:
        connection.execute(update(campaigns).where(campaigns.c.id == campaign_id).values(outcome=outcome))
