"""Data: what was read and left out, whether it can carry the tasks, and event files uploaded by hand."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, UploadFile
from sqlalchemy import func, select
from starlette.responses import RedirectResponse, Response

from features.errors import InputError
from features.schema import TIME
from serving import documented, uploads
from serving.clock import now
from serving.documented import DATA
from serving.pages import figures
from serving.pages.route import PageRoute
from serving.pages.sessions import Visitor, needs
from serving.pages.templating import page
from serving.pages.work import in_words
from serving.state import Shared, State
from serving.store import NoScoresError, run_of
from serving.tables import Run, events

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_LEVELS = ("error", "warning", "recommendation")


@router.get("/data")
def data(request: Request, session: Visitor, state: Shared) -> Response:
    """What the newest run was made of, and what came in since."""
    run, told = _newest(state)
    report = told.get("report") if told else None
    findings = report["findings"] if report else []
    context = {
        "run": run,
        "told": told,
        "report": report,
        "findings": [(level, [f for f in findings if f["level"] == level]) for level in _LEVELS],
        "facts": [finding for finding in findings if finding["level"] == "fact"],
        "since": _since(state, run),
        "now": now(),
        "most": uploads.MOST_BYTES // 1_000_000,
        "most_rows": uploads.MOST_ROWS,
        "figures": {"volume": figures.volume(told)} if told and told["days"] else {},
    }
    return page(request, "data.html", context, here="data")


@router.post("/data/preview")
def preview(request: Request, session: Visitor, state: Shared, file: UploadFile) -> Response:
    """How a file is understood; nothing is stored."""
    needs(session, "ingest")
    try:
        body = file.file.read(uploads.MOST_BYTES + 1)
        if len(body) > uploads.MOST_BYTES:
            raise InputError(
                "the file", "is too large", f"up to {uploads.MOST_BYTES // 1_000_000} MB", "upload it in parts"
            )
        found = uploads.preview(state.definition, file.filename or "", body)
    except InputError as error:
        session.say(in_words(error, "Nothing was stored."), "failed")
        return RedirectResponse("/data", 303)
    counts = found.rows["event"].value_counts(sort=True)
    context: dict[str, Any] = {
        "found": found,
        "sample": found.rows.head(uploads.SHOWN).to_dicts(),
        "names": [name for name in found.rows.columns if found.rows[name].null_count() < found.rows.height],
        "types": list(counts.iter_rows()),
        "first": found.rows[TIME].min(),
        "last": found.rows[TIME].max(),
        "customers": found.rows["customer_id"].n_unique(),
    }
    return page(request, "upload.html", context, here="data")


@router.post("/data/store")
def store(
    request: Request, session: Visitor, state: Shared, token: Annotated[str, Form(max_length=64)] = ""
) -> Response:
    """Store a file as it was understood."""
    needs(session, "ingest")
    try:
        done = uploads.store(state.intake, state.definition, token)
    except InputError as error:
        session.say(in_words(error, "Nothing was stored."), "failed")
    else:
        session.say(_told(done))
    return RedirectResponse("/data", 303)


def _newest(state: State) -> tuple[Run | None, dict[str, Any] | None]:
    with state.store.transaction() as connection:
        try:
            run = run_of(connection, state.journey)
        except NoScoresError:
            return None, None
        return run, documented.read(connection, run.id, DATA)


def _since(state: State, run: Run | None) -> int:
    """Events in the store that came in after the newest run was read."""
    wanted = select(func.count()).select_from(events).where(events.c.journey == state.journey)
    if run is not None and run.event_id is not None:
        wanted = wanted.where(events.c.id > run.event_id)
    with state.store.transaction() as connection:
        return int(connection.execute(wanted).scalar_one())


def _told(done: uploads.Stored) -> str:
    said = [f"{done.accepted:,} events are stored; predictions of their customers know of them from now on."]
    if done.duplicates:
        said.append(f"{done.duplicates:,} were there already.")
    if done.erased:
        said.append(f"{done.erased:,} are of customers who were erased, and were not taken.")
    if done.other:
        said.append(f"{done.other:,} lie too far ahead, and were not taken.")
    return " ".join(said)
