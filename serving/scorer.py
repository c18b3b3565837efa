"""The scorer: events and cutoffs in, answers out; the same for one customer and for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import catalogue, described, digest
from features.eligibility import conditions
from features.errors import InputError
from features.families.stage import present
from features.feature import PROFILE, Feature
from features.instants import KEYS
from features.journey import Journey
from features.labels import tasks
from features.own import Own
from features.plan import Plan
from features.schema import CUSTOMER, CUTOFF, EVENT, KNOWN_AT, TIME, to_text
from serving.answers import Answer, TaskAnswer
from serving.effects import effects
from serving.money import at_stake, expected_loss
from serving.reasons import Told, tell
from serving.shapes import SHAPES, number_of, stage_of
from training.model import Model

Array = NDArray[np.float64]

ROWS_AT_ONCE = 5_000  # bounds the memory of the SHAP values
_NOT_ELIGIBLE = "the journey's rule for this task does not hold at the cutoff"
_NOT_KNOWN = "no event of this customer was known before the cutoff"


@dataclass(frozen=True, slots=True)
class Served:
    """A registered model with its version."""

    model: Model
    version: int


@dataclass(frozen=True, slots=True)
class _TaskRows:
    """A task's numbers for the rows of one call; rows not eligible hold nan."""

    eligible: NDArray[np.bool_]
    predicted: Array
    told: dict[int, Told]
    base: dict[int, float]


class Scorer:
    """Answers for customers from the champion models of one journey; immutable.

    Parameters
    ----------
    models
        Task to champion; all trained on the same journey definition.
    profile
        One row per customer, where the journey has profile features.
    threads
        CPUs to predict with; serving workers use one each.
    own
        The journey's own module of features, where it names one: models never bring it.

    Raises
    ------
    InputError
        Where a model was trained by other feature definitions than these, or the models disagree.
    """

    def __init__(
        self,
        models: Mapping[str, Served],
        profile: pl.DataFrame | None = None,
        threads: int = 1,
        own: Own | None = None,
    ) -> None:
        self.models = dict(models)
        self.threads = threads
        self.journey = _one_journey(self.models).with_own(own)
        self.features = catalogue(self.journey)
        _check_definitions(self.models, self.features)
        if profile is None and any(feature.of == PROFILE for feature in self.features):
            raise InputError(
                "profile", "not given", "the profile the champions learned from", "pass the profile's rows"
            )
        self._columns = {
            name: described(self.journey, served.model.encoding.names) for name, served in self.models.items()
        }
        rules = {name: conditions(tasks(self.journey)[name].eligibility, f"eligible {name}") for name in self.models}
        self._eligible = {name: answer for name, (_, answer) in rules.items()}
        stage = present(self.journey)[1:] if self.journey.stages else ()
        counts = tuple(feature for found, _ in rules.values() for feature in found)
        self._plan = Plan(self.journey, (*self.features, *stage, *counts), profile)

    @property
    def versions(self) -> dict[str, int]:
        """Task to the version that answers."""
        return {name: served.version for name, served in self.models.items()}

    def predict(
        self, events: pl.DataFrame, cutoffs: pl.DataFrame, *, reasons: bool = True, scored_at: datetime | None = None
    ) -> list[Answer]:
        """One answer per row of `cutoffs`, in its order.

        Parameters
        ----------
        events
            The internal event log of `features.schema`; events from a cutoff on are not seen.
        cutoffs
            `customer_id` and `cutoff` (int64 microseconds).
        reasons
            Whether to explain; without, `reasons` are empty and `base` is null.
        scored_at
            Stamp of the answers; default: now.
        """
        stamp = (scored_at or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
        found: list[Answer] = []
        rows = cutoffs.select(KEYS)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            found += self._some(events, rows.slice(start, ROWS_AT_ONCE), reasons, stamp + "Z")
        return found

    def vectors(self, events: pl.DataFrame, cutoffs: pl.DataFrame) -> pl.DataFrame:
        """The vectors of these customers, with stage, its start and what the tasks' rules count."""
        return self._plan.run(events, cutoffs)

    def _some(self, events: pl.DataFrame, cutoffs: pl.DataFrame, reasons: bool, stamp: str) -> list[Answer]:
        chosen = events.join(cutoffs.select(CUSTOMER).unique(), on=CUSTOMER, how="semi", maintain_order="left")
        vectors = self.vectors(chosen, cutoffs)
        known = vectors["tenure_days"].is_not_null().to_numpy()
        tasks_rows = {name: self._task(name, vectors, known, reasons) for name in self.models}
        stakes = self._stakes(tasks_rows, len(vectors))
        warnings = self._warnings(chosen, cutoffs)
        heads = vectors.select(*KEYS, *(c for c in ("stage", "since") if c in vectors.columns)).to_dicts()
        return [
            Answer(
                customer_id=head[CUSTOMER],
                journey=self.journey.journey,
                cutoff=to_text(head[CUTOFF]),
                scored_at=stamp,
                stage=stage_of(head),
                **cast(Any, {n: self._answer(n, rows, row, bool(known[row])) for n, rows in tasks_rows.items()}),
                at_stake=number_of(stakes[row, 0]),
                expected_loss=number_of(stakes[row, 1]),
                warnings=warnings.get((head[CUSTOMER], head[CUTOFF]), []) if known[row] else [_NOT_KNOWN],
            )
            for row, head in enumerate(heads)
        ]

    def _task(self, name: str, vectors: pl.DataFrame, known: NDArray[np.bool_], reasons: bool) -> _TaskRows:
        """Predictions and reasons of the eligible rows of one task."""
        model = self.models[name].model
        eligible = vectors.select(self._eligible[name].alias("eligible"))["eligible"].to_numpy() & known
        rows = np.flatnonzero(eligible)
        asked = model.encoding.added(vectors.filter(eligible))
        matrix = model.encoding.coded(asked)
        width = len(self.journey.stage_names) if name == "next_stage" else 1
        predicted = np.full((len(vectors), width), np.nan)
        told: dict[int, Told] = {}
        base: dict[int, float] = {}
        if len(rows):
            predicted[rows] = model.link.predict(model.margins(matrix, self.threads))
            if reasons:
                output = predicted[rows].argmax(axis=1)
                phi, start = model.contributions(matrix, self.threads)
                found, bases = effects(model.link, phi, start, output)
                told = dict(zip(rows.tolist(), tell(self.journey, self._columns[name], asked, found), strict=True))
                base = dict(zip(rows.tolist(), bases.tolist(), strict=True))
        return _TaskRows(eligible, predicted, told, base)

    def _stakes(self, found: dict[str, _TaskRows], rows: int) -> Array:
        """`at_stake` and `expected_loss`, shape (rows, 2); nan where churn or CLTV has no answer."""
        share = self.models["cltv"].model.about.get("churned_value_share") if "cltv" in self.models else None
        if share is None or "churn" not in found:
            return np.full((rows, 2), np.nan)
        probability = found["churn"].predicted[:, 0]
        stake = at_stake(found["cltv"].predicted[:, 0], probability, share)
        return np.column_stack([stake, expected_loss(probability, stake)])

    def _warnings(self, events: pl.DataFrame, cutoffs: pl.DataFrame) -> dict[tuple[str, int], list[str]]:
        """Per customer and cutoff: event types that no model has seen."""
        unseen = events.filter(~pl.col(EVENT).is_in(self.journey.types)).join(cutoffs, on=CUSTOMER)
        seen = unseen.filter((pl.col(TIME) < pl.col(CUTOFF)) & (pl.col(KNOWN_AT) < pl.col(CUTOFF)))
        found: dict[tuple[str, int], list[str]] = {}
        for customer, cutoff, event in seen.select(*KEYS, EVENT).unique().sort(*KEYS, EVENT).iter_rows():
            found.setdefault((customer, cutoff), []).append(f"event type {event!r} was not seen in training")
        return found

    def _answer(self, name: str, rows: _TaskRows, row: int, known: bool) -> TaskAnswer:
        served = self.models[name]
        about = served.model.about
        fixed: dict[str, Any] = {
            "horizon_days": about["horizon_days"],
            "grade": about["grade"]["letter"],
            "model_version": served.version,
        }
        fixed["eligible"] = bool(rows.eligible[row])
        if not rows.eligible[row]:
            fixed["ineligible_reason"] = _NOT_ELIGIBLE if known else _NOT_KNOWN
        elif row in rows.told:
            told = rows.told[row]
            fixed |= {"base": rows.base[row], "reasons": told.reasons, "other_effects": told.other_effects}
        numbers = rows.predicted[row] if rows.eligible[row] else None
        return SHAPES[name](self.journey, about, fixed, numbers)


def _one_journey(models: Mapping[str, Served]) -> Journey:
    # Champions of different days differ in how far the log had come, and in nothing else.
    definitions = {name: {**served.model.about["journey"], "observed_until": None} for name, served in models.items()}
    first = next(iter(definitions.values()))
    if odd := [name for name, definition in definitions.items() if definition != first]:
        raise InputError(
            f"champions {', '.join(definitions)}",
            f"{', '.join(odd)} was trained with another journey definition than {next(iter(definitions))}",
            "champions trained with one definition",
            "run `journeycast train` for all tasks and promote them together",
        )
    newest = max(served.model.about["journey"]["observed_until"] for served in models.values())
    return Journey.model_validate({**first, "observed_until": newest})


def _check_definitions(models: Mapping[str, Served], features: tuple[Feature, ...]) -> None:
    ours = digest(features)
    if odd := [name for name, served in models.items() if served.model.about["features"] != ours]:
        raise InputError(
            f"champions {', '.join(odd)}",
            "trained with other feature definitions than this journey and version of journeycast have",
            "models of this version",
            "run `journeycast train` and `journeycast promote` again",
        )
