"""A campaign sent: contacts in the event log, marks on the worklist, the hold-out left alone until the end."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    select,
    update,
)

from features.errors import InputError
from features.schema import CONTACTED, to_text
from serving import campaigns, events
from serving.campaigns import CONTACT, HOLDOUT, Stored
from serving.store import Store
from serving.suppression import Moment, suppressed
from serving.tables import campaigns as stored_campaigns
from serving.tables import members, worklist
from serving.worklist import upsert

_KEYS = ("journey", "customer_id")


def send(store: Store, journey: str, campaign_id: int, at: int, channel: str | None, now: int) -> Stored:
    """Mark a campaign as sent at an instant; one that was sent already stays as it is.

    Everyone of the contact arm is contacted but those who, by now, must not be; they stay in the arm,
    since an outcome by intention to treat asks what was intended. The hold-out is suppressed until the
    campaign's horizon is over, so that no other campaign spoils the comparison.

    Parameters
    ----------
    at
        When it was sent, microseconds: not in the future, and not before what the scores knew.

    Raises
    ------
    UnknownCampaignError
        Where there is no such campaign.
    InputError
        Where the instant cannot be.
    """
    with store.transaction(writes=True) as connection:
        campaign = campaigns.of_id(connection, journey, campaign_id, lock=True)
        if campaign.sent_at is not None:
            return campaign
        if not campaign.cutoff <= at <= now:
            allowed = f"between {to_text(campaign.cutoff)}, the cutoff of its scores, and now"
            raise InputError("time", to_text(at), allowed, "leave it out if it was sent now")
        contacted = _contact(connection, campaign, at, channel, now)
        _hold_out(connection, campaign, at, now)
        sent = {"sent_at": at, "channel": channel, "contacted": contacted}
        connection.execute(update(stored_campaigns).where(stored_campaigns.c.id == campaign_id).values(sent))
        return campaigns.of_id(connection, journey, campaign_id)


def _contact(connection: Connection, campaign: Stored, at: int, channel: str | None, now: int) -> int:
    """Write the contacts; how many there are."""
    journey = campaign.journey
    here = and_(worklist.c.journey == journey, worklist.c.customer_id == members.c.customer_id)
    barred = exists().where(here, suppressed(Moment(now, campaign.costs.rest_days)))
    reached = [members.c.campaign_id == campaign.id, members.c.arm == CONTACT, ~barred]
    count = connection.execute(select(func.count()).select_from(members).where(*reached)).scalar_one()
    event_id = literal(f"campaign {campaign.id} to ", Text).concat(cast(members.c.customer_id, String))
    said = (literal(journey, Text), event_id, members.c.customer_id, _instant(at), literal(CONTACTED, Text))
    where = (literal(channel, Text), _instant(at), _instant(now))
    written = select(*said, *where).where(*reached).order_by(members.c.place)
    marks = {"status": literal("contacted", Text), "contacted_at": _instant(at)}
    known = {**marks, "contacted_at": _later(worklist.c.contacted_at, at), "snoozed_until": None}
    # Both see the worklist as it was: the events are written first.
    events.add_contacts(connection, written)
    _mark(connection, campaign, reached, marks, known, now)
    return int(count)


def _hold_out(connection: Connection, campaign: Stored, at: int, now: int) -> None:
    until = at + campaign.horizon
    held = [members.c.campaign_id == campaign.id, members.c.arm == HOLDOUT]
    marks = {"status": literal("open", Text), "held_out_until": _instant(until)}
    _mark(connection, campaign, held, marks, {"held_out_until": _later(worklist.c.held_out_until, until)}, now)


def _mark(
    connection: Connection,
    campaign: Stored,
    whom: list[ColumnElement[bool]],
    new: dict[str, Any],
    known: dict[str, Any],
    now: int,
) -> None:
    """Put members on the worklist, or change what it says of those who are on it."""
    values: dict[str, Any] = {
        "journey": literal(campaign.journey, Text),
        "customer_id": members.c.customer_id,
        "opted_out": literal(False),
        "changed_at": _instant(now),
        **new,
    }
    found = select(*values.values()).where(*whom)
    put = upsert(connection).from_select(list(values), found)
    connection.execute(put.on_conflict_do_update(index_elements=_KEYS, set_={**known, "changed_at": now}))


def _later(column: ColumnElement[Any], instant: int) -> ColumnElement[int]:
    return case((func.coalesce(column, instant) > instant, column), else_=_instant(instant))


def _instant(instant: int) -> ColumnElement[int]:
    return literal(instant, worklist.c.changed_at.type)
