"""Working the list: assign, snooze, contacted, suppress; for some customers or all that match."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Form, Request
from pydantic import BaseModel, Field
from starlette.datastructures import QueryParams
from starlette.responses import RedirectResponse, Response

from features.errors import InputError
from features.schema import to_microseconds
from serving import list_changes
from serving.asked import WorklistChange
from serving.clock import now
from serving.list_changes import Changed
from serving.pages import lists
from serving.pages.at_risk import said_of
from serving.pages.route import PageRoute
from serving.pages.sessions import Visitor, needs
from serving.pages.templating import page
from serving.routes.at_risk import AtRiskQuery
from serving.state import Shared, State
from serving.suppression import Moment

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_DONE = {
    "assign": "assigned",
    "snooze": "snoozed",
    "contacted": "marked as contacted",
    "suppress": "suppressed",
    "unsuppress": "no longer suppressed",
    "reopen": "open again",
    "note": "noted",
}
_DETAILS = {"assignee": "To", "until": "Until", "channel": "By", "outcome": "Outcome", "note": "Note"}
Text = Annotated[str, Field(max_length=1000)]


class Asked(BaseModel):
    """What the form says: an action with its details, for the customers named or, with `everyone`, the whole list.

    `back` is the address the form stood on, which says which list it was; `sure` is how many its whole list
    held when whoever asks said yes to changing them all.
    """

    action: Text = ""
    customer: list[Text] = Field(default=[], max_length=1000)
    everyone: Text = ""
    sure: int | None = None
    back: Annotated[str, Field(max_length=8000)] = "/"
    assignee: Text = ""
    until: Text = ""
    channel: Text = ""
    outcome: Text = ""
    note: Text = ""


@router.post("/work")
def work(request: Request, session: Visitor, state: Shared, asked: Annotated[Asked, Form()]) -> Response:
    """Make a change and go back to where it was asked for; a change to a whole list asks once more first."""
    needs(session, "ingest")
    back = here(asked.back)
    try:
        changes = [lists.checked(WorklistChange, change).change() for change in _changes(asked)]
        found, moment = _chosen(state, asked, back)
        if asked.everyone and found and asked.sure != len(found):
            return _ask(request, asked, back, len(found))
        done = list_changes.of_customers(state.store, state.journey, found, changes, moment)
    except InputError as error:
        session.say(in_words(error, "Nothing was changed."), "failed")
    else:
        session.say(_told(done, _DONE[asked.action]), "done" if done.changed else "failed")
    return RedirectResponse(back, 303)


def _chosen(state: State, asked: Asked, back: str) -> tuple[list[str], Moment]:
    """Whom the change is for, and the instant that says so."""
    if asked.everyone:
        wanted = lists.wanted(state, _list_of(back))
        moment = Moment(now(), wanted.costs.rest_days)
        return list_changes.matching(state.store, state.journey, wanted, moment), moment
    if not asked.customer:
        raise InputError("customers", "nobody is selected", "one or more", "tick customers, or everyone who matches")
    return asked.customer, Moment(now(), state.campaign.rest_days)


def _list_of(back: str) -> AtRiskQuery:
    """The list that the page at an address shows."""
    return lists.read(lists.given(QueryParams(parse_qsl(urlsplit(back).query))))


def _ask(request: Request, asked: Asked, back: str, many: int) -> Response:
    """Ask whether really all of them; also where the list is no longer as long as it was when that was asked."""
    said = asked.model_dump(include={"action", *_DETAILS}, exclude_defaults=True) | {"everyone": "yes", "back": back}
    told = lists.told(_list_of(back))
    context = {
        "verb": _DONE[asked.action],
        "many": many,
        "said": said | {"sure": many},
        "details": [(words, said[name]) for name, words in _DETAILS.items() if name in said],
        "changed": asked.sure is not None,
        "chips": [said_of(name, value) for name, value in lists.filters_of(told)],
        "back": back,
    }
    return page(request, "sure.html", context, here="at_risk")


def _changes(asked: Asked) -> list[dict[str, Any]]:
    """What an action changes, one after another."""
    match asked.action:
        case "assign":
            return [{"status": "assigned", "assignee": asked.assignee.strip() or None}]
        case "snooze":
            return [{"snoozed_until": _end_of(asked.until.strip())}]
        case "contacted":
            contact = {"status": "contacted", "channel": asked.channel.strip()}
            outcome = [{"status": asked.outcome}] if asked.outcome else []
            return [{name: value for name, value in contact.items() if value}, *outcome]
        case "suppress" | "unsuppress":
            return [{"opted_out": asked.action == "suppress"}]
        case "reopen":
            return [{"status": "open"}]
        case "note":
            return [{"note": asked.note.strip() or None}]
        case action:
            raise InputError("action", repr(action), ", ".join(_DONE), "press one of the buttons")


def _end_of(day: str) -> str:
    """The end of a day as a form gives it, in UTC."""
    try:
        last = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)
    except ValueError:
        raise InputError("until", day or "no day", "a day to come, such as 2026-12-24", "pick the day") from None
    if to_microseconds(last) <= now():
        raise InputError("until", day, "a day that is not over", "pick a later day")
    return last.isoformat()


def here(address: str) -> str:
    """An address on this server, wherever a form says to go."""
    parts = urlsplit(address)
    safe = not parts.scheme and not parts.netloc and address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if safe else "/"


def in_words(error: InputError, before: str) -> str:
    """What cannot be done and what to do instead, in a few sentences."""
    said = f"{before} {error.place}: {error.found}."
    said += f" Accepted: {error.accepted}." if error.accepted else ""
    return said + (f" {error.do[0].upper()}{error.do[1:]}." if error.do else "")


def _told(done: Changed, verb: str) -> str:
    said = [f"{done.changed:,} {'customer' if done.changed == 1 else 'customers'} {verb}."]
    if done.refused:
        said.append(f"{done.refused:,} opted out or are held out by a campaign and were left as they are.")
    if done.unknown:
        said.append(f"{done.unknown:,} are no longer among the scored customers.")
    return " ".join(said)
