"""The scorer: events and cutoffs in, answers out; the same for one customer and for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, cast

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import catalogue, described, digest
from features.eligibility import conditions
from features.errors import InputError
from features.families.stage import present
from features.feature import PROFILE, Feature
from features.instants import KEYS, seen
from features.journey import Journey
from features.labels import tasks
from features.own import Own
from features.plan import Plan
from features.schema import CONTACTED, CUSTOMER, CUTOFF, EVENT, to_text
from serving.answers import Answer, TaskAnswer
from serving.effects import effects
from serving.memory import uncollected
from serving.reasons import Teller
from serving.shapes import Columns, Shape, last_activity, numbers_of, stage_of
from training.encoding import Encodings
from training.model import Model, knows_until
from training.money import at_stake, expected_loss

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

ROWS_AT_ONCE = 12_500  # SHAP values cost least in bulk; 100 MB of them for five stages and 200 features
FEW_EVENTS = 5_000
_NOT_ELIGIBLE = "the journey's rule for this task does not hold at the cutoff"
_NOT_KNOWN = "no event of this customer was known before the cutoff"


@dataclass(frozen=True, slots=True)
class Served:
    """A registered model with its version."""

    model: Model
    version: int


@dataclass(frozen=True, slots=True)
class _Rows:
    """Vectors, a task's matrix of them, and which of them are of known customers and are asked about."""

    vectors: pl.DataFrame
    matrix: Array
    known: Flags
    eligible: Flags

    def asked(self) -> tuple[pl.DataFrame, Array]:
        """The vectors and the matrix of the rows that are asked about."""
        if self.eligible.all():
            return self.vectors, self.matrix
        return self.vectors.filter(self.eligible), self.matrix[self.eligible]


@dataclass(frozen=True, slots=True)
class _TaskRows:
    """A task's predictions, shape (rows, outputs), nan where it does not ask; and its answers."""

    predicted: Array
    answers: list[TaskAnswer]


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
        self.profile, self.threads, self._own = profile, threads, own
        self.journey = _one_journey(self.models).with_own(own)
        self.features = catalogue(self.journey)
        self._types = {*self.journey.types, CONTACTED}
        _check_definitions(self.models, self.features)
        if profile is None and any(feature.of == PROFILE for feature in self.features):
            raise InputError(
                "profile", "not given", "the profile the champions learned from", "pass the profile's rows"
            )
        self._tellers = {
            name: Teller(self.journey, described(self.journey, served.model.encoding.names))
            for name, served in self.models.items()
        }
        rules = {name: conditions(tasks(self.journey)[name].eligibility, f"eligible {name}") for name in self.models}
        self._shapes = {
            name: Shape(name, self.journey, served.model.about, served.version) for name, served in self.models.items()
        }
        eligible = [answer.alias(name) for name, (_, answer) in rules.items()]
        self._encodings = Encodings((served.model.encoding for served in self.models.values()), eligible)
        stage = present(self.journey)[1:] if self.journey.stages else ()
        counts = tuple(feature for found, _ in rules.values() for feature in found)
        self._plan = Plan(self.journey, (*self.features, *stage, *counts), profile)

    def with_profile(self, profile: pl.DataFrame | None) -> Scorer:
        """The same models with another profile, such as one without who was erased."""
        return Scorer(self.models, profile, self.threads, self._own)

    @cached_property
    def definitions(self) -> str:
        """The digest of the feature definitions."""
        return digest(self.features)

    @property
    def versions(self) -> dict[str, int]:
        """Task to the version that answers."""
        return {name: served.version for name, served in self.models.items()}

    @property
    def knows_until(self) -> dict[str, int]:
        """Task to the instant up to which its model knows the log, in microseconds."""
        return {name: knows_until(served.model.about) for name, served in self.models.items()}

    def predict(
        self,
        events: pl.DataFrame,
        cutoffs: pl.DataFrame,
        *,
        reasons: bool = True,
        scored_at: datetime | None = None,
        served: Callable[[pl.DataFrame, pl.DataFrame], None] | None = None,
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
        served
            Called with the events and the vectors that the answers come from.
        """
        stamp = (scored_at or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
        found: list[Answer] = []
        rows = cutoffs[list(KEYS)]
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows.slice(start, ROWS_AT_ONCE)
            with uncollected(len(some)):
                found += self._some(events, some, reasons, stamp + "Z", served)
        return found

    def vectors(self, events: pl.DataFrame, cutoffs: pl.DataFrame) -> pl.DataFrame:
        """The vectors of these customers, with stage, its start and what the tasks' rules count."""
        return self._plan.run(events, cutoffs)

    def _some(
        self,
        events: pl.DataFrame,
        cutoffs: pl.DataFrame,
        reasons: bool,
        stamp: str,
        served: Callable[[pl.DataFrame, pl.DataFrame], None] | None,
    ) -> list[Answer]:
        chosen = _of_customers(events, cutoffs[CUSTOMER])
        vectors = self.vectors(chosen, cutoffs)
        known = ~np.isnan(vectors["tenure_days"].to_numpy())
        encoded, asked = self._encodings.read(vectors)
        tasks_rows = {
            name: self._task(name, _Rows(every, matrix, known, asked[name].to_numpy() & known), reasons)
            for name, (every, matrix) in zip(self.models, encoded, strict=True)
        }
        stakes, losses = self._stakes(tasks_rows, len(vectors))
        warnings = self._warnings(chosen, cutoffs)
        if served is not None:
            served(chosen, vectors)
        columns = [name for name in (*KEYS, "recency_days", "stage", "since") if name in vectors.columns]
        heads = [
            dict(zip(columns, row, strict=True))
            for row in zip(*(vectors[name].to_list() for name in columns), strict=True)
        ]
        return [
            Answer(
                customer_id=head[CUSTOMER],
                journey=self.journey.journey,
                cutoff=to_text(head[CUTOFF]),
                scored_at=stamp,
                stage=stage_of(head),
                last_activity=last_activity(head),
                **cast(Any, {name: rows.answers[row] for name, rows in tasks_rows.items()}),
                at_stake=stakes[row],
                expected_loss=losses[row],
                warnings=warnings.get((head[CUSTOMER], head[CUTOFF]), []) if known[row] else [_NOT_KNOWN],
            )
            for row, head in enumerate(heads)
        ]

    def _task(self, name: str, rows: _Rows, reasons: bool) -> _TaskRows:
        """Predictions and answers of one task."""
        model, shape = self.models[name].model, self._shapes[name]
        unasked = shape.unasked(_NOT_ELIGIBLE), shape.unasked(_NOT_KNOWN)
        answers = [unasked[0] if seen else unasked[1] for seen in rows.known.tolist()]
        width = len(self.journey.stage_names) if name == "next_stage" else 1
        predicted = np.full((len(answers), width), np.nan)
        if rows.eligible.any():
            vectors, matrix = rows.asked()
            found = model.link.predict(model.margins(matrix, self.threads))
            told = self._told(name, vectors, matrix, found.argmax(axis=1)) if reasons else {}
            for row, answer in zip(np.flatnonzero(rows.eligible).tolist(), shape.answers(found, told), strict=True):
                answers[row] = answer
            predicted[rows.eligible] = found
        return _TaskRows(predicted, answers)

    def _told(self, name: str, vectors: pl.DataFrame, matrix: Array, output: NDArray[np.intp]) -> Columns:
        """What explains each row's output, by the fields of an answer."""
        model = self.models[name].model
        phi, start = model.contributions(matrix, self.threads)
        found, base = effects(model.link, phi, start, output)
        told = self._tellers[name].tell(vectors, found)
        return {
            "base": base.tolist(),
            "reasons": [one.reasons for one in told],
            "other_effects": [one.other_effects for one in told],
        }

    def _stakes(self, found: dict[str, _TaskRows], rows: int) -> tuple[list[float | None], list[float | None]]:
        """`at_stake` and `expected_loss`; null where churn or CLTV has no answer."""
        share = self.models["cltv"].model.about.get("churned_value_share") if "cltv" in self.models else None
        if share is None or "churn" not in found:
            return [None] * rows, [None] * rows
        probability = found["churn"].predicted[:, 0]
        stake = at_stake(found["cltv"].predicted[:, 0], probability, share)
        return numbers_of(stake), numbers_of(expected_loss(probability, stake))

    def _warnings(self, events: pl.DataFrame, cutoffs: pl.DataFrame) -> dict[tuple[str, int], list[str]]:
        """Per customer and cutoff: event types that no model has seen."""
        types = events[EVENT] if len(events) < FEW_EVENTS else events[EVENT].unique()
        if self._types.issuperset(types.to_list()):
            return {}
        unseen = events.filter(~pl.col(EVENT).is_in(self._types)).join(cutoffs, on=CUSTOMER)
        told = nw.from_native(unseen).filter(seen()).to_native()
        found: dict[tuple[str, int], list[str]] = {}
        for customer, cutoff, event in told.select(*KEYS, EVENT).unique().sort(*KEYS, EVENT).iter_rows():
            found.setdefault((customer, cutoff), []).append(f"event type {event!r} was not seen in training")
        return found


def _of_customers(events: pl.DataFrame, customers: pl.Series) -> pl.DataFrame:
    """The events of these customers; a request has no others, and for few events a look is faster than a query."""
    if len(events) < FEW_EVENTS and set(events[CUSTOMER].to_list()) <= set(customers.to_list()):
        return events
    return events.join(customers.unique().to_frame(), on=CUSTOMER, how="semi", maintain_order="left")


def _one_journey(models: Mapping[str, Served]) -> Journey:
    # Champions of different days differ in how far the log had come, and in nothing else. They are compared as
    # read: one that was trained before a setting existed has its default.
    logged = {name: served.model.about["journey"] for name, served in models.items()}
    definitions = {name: Journey.model_validate({**one, "observed_until": None}) for name, one in logged.items()}
    first = next(iter(definitions.values()))
    if odd := [name for name, definition in definitions.items() if definition != first]:
        raise InputError(
            f"champions {', '.join(definitions)}",
            f"{', '.join(odd)} was trained with another journey definition than {next(iter(definitions))}",
            "champions trained with one definition",
            "run `journeycast train` for all tasks and promote them together",
        )
    newest = max(one["observed_until"] for one in logged.values())
    return Journey.model_validate({**next(iter(logged.values())), "observed_until": newest})


def _check_definitions(models: Mapping[str, Served], features: tuple[Feature, ...]) -> None:
    ours = digest(features)
    if odd := [name for name, served in models.items() if served.model.about["features"] != ours]:
        raise InputError(
            f"champions {', '.join(odd)}",
            "trained with other feature definitions than this journey and version of journeycast have",
            "models of this version",
            "run `journeycast train` and `journeycast promote` again",
        )
