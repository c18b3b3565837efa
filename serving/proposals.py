"""A campaign as asked for, made: the list of the newest run cut, its hold-out drawn, both stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from secrets import randbits
from typing import Any

import numpy as np
import polars as pl
from sqlalchemy import Connection, insert, select

from features.errors import InputError
from features.journey import Campaign as Costs
from features.schema import DAY
from serving.campaigns import CONTACT, HOLDOUT, Stored, of_id
from serving.cut import affordable_length
from serving.database import lock
from serving.filters import Filters, Wanted
from serving.kept_out import NO_NAME, barred
from serving.listing import ranked
from serving.marks import hold_out
from serving.planning import Cut, Drawn, Plan, plan
from serving.store import Store, run_of
from serving.suppression import Moment
from serving.tables import Run, campaigns, members
from training.money import contact_expense

_CHUNK = 5_000
_UNSENT_HOLDS = 28 * DAY  # how long a campaign that is not sent keeps its hold-out from others


@dataclass(frozen=True, slots=True)
class Proposal:
    """A campaign as asked for: whom, at which costs, how many, and the share held out to compare with.

    The same `seed` draws the same customers; null: a new one.
    """

    name: str
    filters: Filters
    costs: Costs
    cut: Cut = field(default_factory=Cut)
    holdout: float = 0.1
    seed: int | None = None


def affordable(store: Store, journey: str, wanted: Wanted, budget: float, now: int) -> int:
    """How many customers from the top of a list can be contacted for `budget`, as expected.

    Raises
    ------
    NoScoresError
        Where the journey has no run.
    """
    with store.transaction() as connection:
        found = ranked(connection, run_of(connection, journey), wanted, Moment(now, wanted.costs.rest_days))
    probability = found["churn_probability"].to_numpy()
    expense = contact_expense(probability, wanted.costs)
    return affordable_length(expense, np.zeros(len(expense), dtype=np.bool_), budget)


def draft(store: Store, journey: str, proposal: Proposal, now: int) -> tuple[Run, Plan]:
    """What `create` would make of a proposal, and of which run; nothing is stored.

    Raises
    ------
    NoScoresError, InputError
        As `create` does.
    """
    seed = randbits(53) if proposal.seed is None else proposal.seed
    run, _, drawn = _draw(store, journey, proposal, seed, now)
    return run, drawn.plan


def create_once(store: Store, journey: str, proposal: Proposal, now: int, planned_on: int) -> Stored:
    """`create`, of the run that the plan was shown of; a plan that was made already is the same campaign.

    Parameters
    ----------
    proposal
        With a seed, which tells one plan from another.
    planned_on
        The id of the run.

    Raises
    ------
    NoScoresError
        Where the journey has no run.
    InputError
        As `create` does, and where customers were scored anew since.
    """
    with store.transaction() as connection:
        made, run = _made(connection, journey, proposal, planned_on), run_of(connection, journey)
    if made is not None:
        return made
    if run.id != planned_on:
        raise _scored_anew()
    return create(store, journey, proposal, now, planned_on)


def create(store: Store, journey: str, proposal: Proposal, now: int, planned_on: int | None = None) -> Stored:
    """Cut the list of the newest run, draw the hold-out and store both.

    The hold-out is left alone from now on, so that no campaign sent meanwhile spoils it: until the
    campaign is sent, for as long as its horizon, but no more than 28 days.

    The list is ranked by the expected profit of a contact; where the run knows nobody's value and a
    budget or capacity is given, by churn probability.

    Raises
    ------
    NoScoresError
        Where the journey has no run.
    InputError
        Where nobody is left to contact, or the run does not know what the cut needs.
    """
    seed = randbits(53) if proposal.seed is None else proposal.seed
    run, rows, drawn = _draw(store, journey, proposal, seed, now)
    if planned_on not in (None, run.id):
        raise _scored_anew()
    with store.transaction(writes=True) as connection:
        if planned_on is not None:
            lock(connection)  # of two at once the second finds what the first made
            if (made := _made(connection, journey, proposal, planned_on)) is not None:
                return made
        new = {
            "journey": journey,
            "name": proposal.name,
            "run_id": run.id,
            "cutoff": run.cutoff,
            "horizon": run.horizon,
            "currency": run.currency,
            "created_at": now,
            "filters": _told(connection, journey, proposal.filters),
            "costs": proposal.costs.model_dump(),
            "budget": proposal.cut.budget,
            "capacity": proposal.cut.capacity,
            "holdout": proposal.holdout,
            "seed": seed,
            "plan": drawn.plan.model_dump(),
        }
        gone = barred(connection, journey, rows["customer_id"])
        new["erased"] = len(gone) or None
        campaign_id = connection.execute(insert(campaigns).values(new).returning(campaigns.c.id)).scalar_one()
        _write_members(connection, campaign_id, rows, drawn, gone)
        made = of_id(connection, journey, campaign_id)
        hold_out(connection, made, now + min(made.horizon, _UNSENT_HOLDS), now)
        return made


def _told(connection: Connection, journey: str, filters: Filters) -> dict[str, Any]:
    """The filters to store, without the id of a customer who was erased."""
    gone = filters.customer and barred(connection, journey, [filters.customer])
    return filters.told() | ({"customer": NO_NAME} if gone else {})


def _made(connection: Connection, journey: str, proposal: Proposal, run_id: int) -> Stored | None:
    """The campaign that was made of this very plan; null: none was."""
    of_plan = (campaigns.c.run_id == run_id, campaigns.c.seed == proposal.seed, campaigns.c.name == proposal.name)
    wanted = select(campaigns.c.id).where(campaigns.c.journey == journey, *of_plan).order_by(campaigns.c.id)
    for campaign_id in connection.execute(wanted).scalars().all():
        found = of_id(connection, journey, campaign_id)
        same = (found.filters, found.costs, found.cut, found.holdout)
        if same == (proposal.filters.told(), proposal.costs, proposal.cut, proposal.holdout):
            return found
    return None


def _scored_anew() -> InputError:
    return InputError("campaign", "the customers were scored anew since this plan was made", do="look again")


def _draw(store: Store, journey: str, proposal: Proposal, seed: int, now: int) -> tuple[Run, pl.DataFrame, Drawn]:
    moment = Moment(now, proposal.costs.rest_days)
    with store.transaction() as connection:
        run = run_of(connection, journey)
        if run.horizon is None:
            raise InputError(journey, "the newest run does not say how far churn looks", "", "score again")
        by_profit = run.currency is not None or proposal.cut == Cut()
        wanted = Wanted(proposal.filters, "profit" if by_profit else "expected_loss", proposal.costs, contactable=True)
        listed = ranked(connection, run, wanted, moment)
    ids, probability = listed["customer_id"].to_list(), listed["churn_probability"].to_numpy()
    stake = listed["at_stake"].fill_null(np.nan).to_numpy()
    drawn = plan(ids, probability, stake, proposal.costs, proposal.cut, proposal.holdout, seed)
    return run, listed.head(drawn.plan.length), drawn


def _write_members(
    connection: Connection, campaign_id: int, listed: pl.DataFrame, drawn: Drawn, gone: set[str]
) -> None:
    """Store who is in which arm, but those who were erased since the list was read."""
    frame = listed.select(
        pl.lit(campaign_id).alias("campaign_id"),
        "customer_id",
        pl.int_range(1, pl.len() + 1).alias("place"),
        pl.when(pl.Series(drawn.held)).then(pl.lit(HOLDOUT)).otherwise(pl.lit(CONTACT)).alias("arm"),
        "churn_probability",
        "at_stake",
        pl.Series("contact_profit", drawn.profit).fill_nan(None),
    )
    if gone:
        frame = frame.filter(~pl.col("customer_id").is_in(sorted(gone)))
    for part in frame.iter_slices(_CHUNK):
        connection.execute(insert(members), part.to_dicts())
