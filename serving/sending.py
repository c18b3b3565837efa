"""A campaign sent: contacts in the event log, marks on the worklist, the hold-out left alone until the end."""

from __future__ import annotations

from sqlalchemy import Connection, String, Text, and_, case, cast, exists, func, literal, select, update

from features.errors import InputError
from features.schema import CONTACTED, to_text
from serving import campaigns, events
from serving.campaigns import CONTACT, Stored
from serving.kept_out import kept_out
from serving.marks import hold_out, instant, later, mark
from serving.present import known_from
from serving.store import Store
from serving.suppression import Moment, suppressed
from serving.tables import campaigns as stored_campaigns
from serving.tables import members, worklist


def send(
    store: Store, journey: str, campaign_id: int, at: int, channel: str | None, now: int, *, rehearsal: bool = False
) -> Stored:
    """Mark a campaign as sent at an instant; one that was sent already stays as it is.

    Everyone of the contact arm is contacted but those who, by now, must not be: who opted out, was
    contacted meanwhile or is held out by another campaign. They stay in the arm, since an outcome by
    intention to treat asks what was intended. The hold-out is suppressed until the campaign's horizon is
    over, so that no other campaign spoils the comparison.

    Parameters
    ----------
    at
        When it was sent, microseconds: not in the future, and not before the campaign was made. A list
        and a hold-out chosen when the outcome could be known already would prove nothing.
    rehearsal
        Try the way to an outcome on the past: `at` lies between the cutoff of the scores and the making
        of the campaign. Nobody is contacted or suppressed, and the outcome proves nothing.

    Raises
    ------
    UnknownCampaignError
        Where there is no such campaign.
    InputError
        Where the instant cannot be, or nobody is left to contact.
    """
    with store.transaction(writes=True) as connection:
        kept_out(connection, journey)  # nobody is erased while contacts are written
        campaign = campaigns.of_id(connection, journey, campaign_id, lock=True)
        if campaign.sent_at is not None:
            return campaign
        _refuse_time(campaign, at, now, rehearsal=rehearsal)
        contacted, known = 0, now
        if not rehearsal:
            events.in_order(connection, journey)
            known = known_from(connection, journey, at)
            contacted = _contact(connection, campaign, at, channel, known, now)
            hold_out(connection, campaign, at + campaign.horizon, now)
        sent = {"sent_at": at, "sent_known_at": known, "channel": channel, "contacted": contacted}
        connection.execute(update(stored_campaigns).where(stored_campaigns.c.id == campaign_id).values(sent))
        return campaigns.of_id(connection, journey, campaign_id)


def _refuse_time(campaign: Stored, at: int, now: int, *, rehearsal: bool) -> None:
    made, cutoff = to_text(campaign.created_at), to_text(campaign.cutoff)
    if rehearsal and not campaign.cutoff <= at < campaign.created_at:
        allowed = f"between {cutoff}, the cutoff of its scores, and {made}, when the campaign was made"
        raise InputError("time", f"{to_text(at)} is no rehearsal", allowed, "leave rehearsal out if it was sent")
    if not rehearsal and not campaign.created_at <= at <= now:
        allowed = f"between {made}, when the campaign was made, and now"
        do = "leave it out if it was sent now; to try the way to an outcome on the past, say rehearsal"
        raise InputError("time", to_text(at), allowed, do)


def _contact(connection: Connection, campaign: Stored, at: int, channel: str | None, known_at: int, now: int) -> int:
    """Write the contacts, known since `known_at`; how many there are."""
    journey = campaign.journey
    here = and_(worklist.c.journey == journey, worklist.c.customer_id == members.c.customer_id)
    barred = exists().where(here, suppressed(Moment(now, campaign.costs.rest_days)))
    reached = [members.c.campaign_id == campaign.id, members.c.arm == CONTACT, ~barred]
    count = connection.execute(select(func.count()).select_from(members).where(*reached)).scalar_one()
    if not count:
        why = "everyone of the contact arm opted out, was contacted meanwhile or is held out by another campaign"
        raise InputError(f"campaign {campaign.id}", why, "someone to contact", "make a new campaign")
    event_id = literal(f"campaign {campaign.id} to ", Text).concat(cast(members.c.customer_id, String))
    said = (literal(journey, Text), event_id, members.c.customer_id, instant(at), literal(CONTACTED, Text))
    where = (literal(channel, Text), instant(known_at), instant(now))
    written = select(*said, *where).where(*reached).order_by(members.c.place)
    marks = {"status": literal("contacted", Text), "contacted_at": instant(at)}
    done = case((worklist.c.status.in_(["won", "lost"]), worklist.c.status), else_="contacted")
    known = {"status": done, "contacted_at": later(worklist.c.contacted_at, at), "snoozed_until": None}
    # Both see the worklist as it was: the events are written first.
    events.add_contacts(connection, journey, written)
    mark(connection, campaign, reached, marks, known, now)
    return int(count)
