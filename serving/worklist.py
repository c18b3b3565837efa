"""The worklist: how far a retention team is with each customer, and whom to leave alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Select, and_, select

from features.errors import InputError, SuppressedError, UnknownCustomerError
from features.schema import to_text
from serving import events
from serving.database import upsert
from serving.kept_out import barred, erased_error
from serving.present import known_from
from serving.store import Store, run_of
from serving.suppression import SNOOZED, Moment, Status, Suppressed, told_status, why_suppressed
from serving.tables import scores, worklist

CONTACT = "contacted"
_KEYS = ("journey", "customer_id")
_NOT_YET: dict[str, Any] = {
    "status": "open",
    "assignee": None,
    "note": None,
    "snoozed_until": None,
    "opted_out": False,
    "contacted_at": None,
    "held_out_until": None,
}


class Change(TypedDict, total=False):
    """What changes; what is not named stays.

    Instants are microseconds. `channel` and `contacted_at` (default: now) say where and when the
    contact was, and go with the status `contacted`; `override` allows a contact of someone who opted
    out or is held out.
    """

    status: Status
    assignee: str | None
    note: str | None
    snoozed_until: int
    opted_out: bool
    channel: str | None
    contacted_at: int
    override: bool


class Entry(BaseModel):
    """One customer on the worklist; instants are ISO 8601 in UTC.

    `suppressed` says why the customer must not be contacted now; null: may be. `held_out_until` is the
    end of a campaign that holds the customer out.
    """

    model_config = ConfigDict(frozen=True)

    customer_id: str
    status: Status
    assignee: str | None
    note: str | None
    snoozed_until: str | None
    opted_out: bool
    contacted_at: str | None
    held_out_until: str | None
    changed_at: str | None
    suppressed: Suppressed | None


def entry(store: Store, journey: str, customer_id: str, moment: Moment) -> Entry:
    """What the worklist says of a customer; one who was never worked on is open.

    Raises
    ------
    UnknownCustomerError
        Where nobody of this id was scored in the newest run or worked on.
    """
    with store.transaction() as connection:
        found = _row(connection, _of(journey, customer_id))
        if found is None:
            _refuse_unknown(connection, journey, customer_id)
    return _entry(customer_id, found or _NOT_YET | {"changed_at": None}, moment)


def change(store: Store, journey: str, customer_id: str, change: Change, moment: Moment) -> Entry:
    """Change what the worklist says of a customer; a contact is written to the event log too.

    A contact repeated with the same instant, or without one while the last contact still counts
    (`rest_days`), is the same contact.

    Raises
    ------
    UnknownCustomerError
        Where nobody of this id was scored in the newest run or worked on; an opt-out is taken of anyone.
    ErasedError
        Where the customer was erased.
    SuppressedError
        Where a contact is told of someone who opted out or is held out, without `override`.
    InputError
        Where a snooze has no end, an assignment nobody, or details of a contact come without it.
    """
    with store.transaction(writes=True) as connection:
        return change_within(connection, journey, customer_id, change, moment)


def change_within(connection: Connection, journey: str, customer_id: str, change: Change, moment: Moment) -> Entry:
    """`change` in a transaction of the caller's; a change that is refused has written nothing."""
    if barred(connection, journey, [customer_id]):
        raise erased_error("customer_id")
    if change.get("status") == CONTACT:
        events.in_order(connection, journey)  # before the customer, as whoever sends a campaign
    found = _row(connection, _of(journey, customer_id).with_for_update())
    if found is None and ("\x00" in customer_id or not change.get("opted_out")):
        _refuse_unknown(connection, journey, customer_id)
    before = dict(found or _NOT_YET)
    before["status"] = told_status(before, moment)
    row = _changed(before, change, moment)
    if _is_new_contact(before, change, moment):
        _refuse_suppressed(customer_id, before, change, moment)
        at, channel = change.get("contacted_at", moment.now), change.get("channel")
        known_at = known_from(connection, journey, at)
        events.add(connection, [events.contact(journey, customer_id, at, channel, moment.now, known_at)])
    put = upsert(connection, worklist)
    values = {"journey": journey, "customer_id": customer_id, **row}
    connection.execute(put.values(values).on_conflict_do_update(index_elements=_KEYS, set_=row))
    return _entry(customer_id, row, moment)


def _changed(before: Mapping[Any, Any], change: Change, moment: Moment) -> dict[str, Any]:
    """The row after a change."""
    now = moment.now
    row = {name: before[name] for name in _NOT_YET} | {"changed_at": now}
    row |= {name: value for name, value in change.items() if name in _NOT_YET and name != "contacted_at"}
    if "snoozed_until" in change and "status" not in change:
        row["status"] = SNOOZED
    _refuse_half_said(row, change, now)
    if row["status"] != SNOOZED:
        row["snoozed_until"] = None
    if _is_new_contact(before, change, moment):
        row["contacted_at"] = max(change.get("contacted_at", now), before["contacted_at"] or 0)
    return row


def _is_new_contact(before: Mapping[Any, Any], change: Change, moment: Moment) -> bool:
    if change.get("status") != CONTACT:
        return False
    last = before["contacted_at"]
    rested = last is None or last <= moment.rested_since
    return "contacted_at" in change or before["status"] != CONTACT or rested


def _refuse_suppressed(customer_id: str, before: Mapping[Any, Any], change: Change, moment: Moment) -> None:
    if change.get("override"):
        return
    if before["opted_out"] or change.get("opted_out"):
        found = "opted out and must not be contacted"
    elif before["held_out_until"] is not None and before["held_out_until"] > moment.now:
        found = f"is held out by a campaign until {to_text(before['held_out_until'])}: a contact spoils its comparison"
    else:
        return
    raise SuppressedError(
        "status", f"{customer_id} {found}", "a customer who may be contacted", "if it happened all the same: override"
    )


def _refuse_half_said(row: Mapping[Any, Any], change: Change, now: int) -> None:
    said: Mapping[Any, Any] = change
    if row["status"] == SNOOZED and (row["snoozed_until"] is None or row["snoozed_until"] <= now):
        raise InputError("snoozed_until", "a snooze needs an end that is to come", "an instant in the future")
    if row["status"] != SNOOZED and "snoozed_until" in said:
        raise InputError("snoozed_until", f"goes with the status snoozed, not {row['status']}", "status: snoozed")
    if row["status"] == "assigned" and not row["assignee"]:
        raise InputError("assignee", "nobody is assigned", "a name", "give assignee too")
    if said.get("status") != CONTACT and (given := {"channel", "contacted_at", "override"} & said.keys()):
        raise InputError(", ".join(sorted(given)), "details of a contact without a contact", "status: contacted")
    if said.get("contacted_at", now) > now:
        raise InputError("contacted_at", "lies in the future", "an instant that has passed", "leave it out for now")


def _of(journey: str, customer_id: str) -> Select[*tuple[Any, ...]]:
    # PostgreSQL stores no NUL, and refuses to be asked for one.
    asked = customer_id if "\x00" not in customer_id else None
    return select(worklist).where(worklist.c.journey == journey, worklist.c.customer_id == asked)


def _row(connection: Connection, wanted: Select[*tuple[Any, ...]]) -> Mapping[Any, Any] | None:
    row = connection.execute(wanted).one_or_none()
    return row._mapping if row else None


def _refuse_unknown(connection: Connection, journey: str, customer_id: str) -> None:
    run = run_of(connection, journey)
    here = and_(scores.c.run_id == run.id, scores.c.customer_id == customer_id.replace("\x00", ""))
    if "\x00" in customer_id or connection.execute(select(scores.c.customer_id).where(here)).one_or_none() is None:
        raise UnknownCustomerError(
            "customer_id", customer_id, f"one of the {run.customers} customers scored in run {run.id}", "check the id"
        )


def _entry(customer_id: str, row: Mapping[Any, Any], moment: Moment) -> Entry:
    instants = ("snoozed_until", "contacted_at", "held_out_until", "changed_at")
    return Entry(
        customer_id=customer_id,
        status=told_status(row, moment),
        assignee=row["assignee"],
        note=row["note"],
        opted_out=row["opted_out"],
        suppressed=why_suppressed(row, moment),
        **{name: None if row[name] is None else to_text(row[name]) for name in instants},
    )
