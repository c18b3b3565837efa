"""A model judged segment by segment: where it is worse than the best simple rule, where it says too much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.journey import Journey
from features.schema import CUSTOMER
from training.assess import Assessment
from training.grades import lead

Array = NDArray[np.float64]
Verdict = Literal["ahead", "not told apart", "behind", "too small"]
Told = Literal["too much", "too little", "as it came", "too small"]

CUSTOMERS_AT_LEAST = 50  # of fewer, chance alone decides
VALUES_AT_MOST = 10  # of one dimension, the commonest; the others are one segment
_DRAWS = 400
_ERRORS = 3.0  # standard errors between what is said and what comes
_OUTCOMES_AT_LEAST = 10  # customers with any value: of fewer the spread of values is not known
_TENURE = ((90, "under 3 months"), (180, "3 to 6 months"), (365, "6 to 12 months"), (float("inf"), "a year or more"))
OTHERS, UNKNOWN = "all others", "unknown"


@dataclass(frozen=True, slots=True)
class Segment:
    """The customers of one value of one dimension.

    Attributes
    ----------
    dimension, value
        Such as `stage`, `lapsed`.
    rows, customers
        Of the test block.
    predicted, happened
        Means: churn probability and rate; confidence in the likeliest stage and how often it came true;
        expected and realised value.
    loss, rule_loss
        Mean proper loss of the model, and of the rule that is best over all rows.
    verdict
        By the 95 % interval of the lead over that rule, drawn over customers.
    told
        Whether the means differ by more than three standard errors, over customers: what is said of thirty
        segments would be off by two, for one of them, by chance.
    """

    dimension: str
    value: str
    rows: int
    customers: int
    predicted: float
    happened: float
    loss: float
    rule_loss: float
    verdict: Verdict
    told: Told

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def segments(journey: Journey, rows: pl.DataFrame, found: Assessment, profile: pl.DataFrame | None) -> list[Segment]:
    """The test block's segments by stage, tenure, channel and every column of the profile that the journey declares.

    Parameters
    ----------
    rows
        The vectors of the test block, row by row those of `found`.
    profile
        As `features.profile.read_profile` gives it.
    """
    said, came = said_and_came(found)
    return [
        segment
        for dimension, values in _dimensions(journey, rows, profile).items()
        for value in _shown(values)
        for segment in [_segment(dimension, value, values == value, found, said, came)]
    ]


def _dimensions(journey: Journey, rows: pl.DataFrame, profile: pl.DataFrame | None) -> dict[str, NDArray[np.object_]]:
    """Per dimension the value of every row, in words; rare values together."""
    found = {name: rows[column] for name, column in (("stage", "stage"), ("channel", "last_channel")) if column in rows}
    if "tenure_days" in rows:
        found["tenure"] = _banded(rows["tenure_days"])
    if profile is not None and journey.profile is not None:
        known = rows.select(CUSTOMER).join(profile, on=CUSTOMER, how="left", maintain_order="left")
        for name in dict.fromkeys([*journey.profile.segments, *journey.profile.features]):
            found[name] = _quarters(known[name]) if known[name].dtype.is_numeric() else known[name]
    return {name: _in_words(values) for name, values in found.items()}


def _banded(days: pl.Series) -> pl.Series:
    told = [next((words for end, words in _TENURE if day < end), None) if day is not None else None for day in days]
    return pl.Series(told, dtype=pl.String)


def _quarters(values: pl.Series) -> pl.Series:
    """Numbers as quarters of the customers; few different numbers as they are."""
    known = values.drop_nulls()
    if known.n_unique() <= VALUES_AT_MOST:
        return values.cast(pl.String)
    edges = np.unique(np.quantile(known.to_numpy(), [0.0, 0.25, 0.5, 0.75, 1.0]))
    place = np.clip(np.searchsorted(edges, values.fill_null(edges[0]).to_numpy(), side="right") - 1, 0, len(edges) - 2)
    told = np.array([f"{low:g} to {high:g}" for low, high in pairwise(edges)])[place]
    return pl.Series(told).set(values.is_null(), None)


def _in_words(values: pl.Series) -> NDArray[np.object_]:
    told = values.cast(pl.String).fill_null(UNKNOWN)
    counts = told.value_counts(sort=True)
    common = counts[told.name][:VALUES_AT_MOST].to_list()
    return np.array([value if value in common else OTHERS for value in told], dtype=object)


def _shown(values: NDArray[np.object_]) -> Sequence[str]:
    """The values, the commonest first; what is left over and what is unknown at the end."""
    found, counts = np.unique(values.astype(str), return_counts=True)
    return [str(found[n]) for n in np.lexsort((found, -counts, np.isin(found, [OTHERS, UNKNOWN])))]


def said_and_came(found: Assessment) -> tuple[Array, Array]:
    """Per row what was said and what came, in the unit of the prediction."""
    if found.predicted.ndim == 2:
        hits = np.argmax(found.predicted, axis=1) == found.labels
        return np.max(found.predicted, axis=1), hits.astype(np.float64)
    return found.predicted, found.labels


def _segment(
    dimension: str, value: str, rows: NDArray[np.bool_], found: Assessment, said: Array, came: Array
) -> Segment:
    ours, theirs = found.losses[rows], found.rule_losses[found.grade.rule][rows]
    customers = found.customers[rows]
    count = len(np.unique(customers))
    verdict: Verdict = "too small"
    if count >= CUSTOMERS_AT_LEAST:
        ahead = lead(ours, theirs, customers, draws=_DRAWS)
        verdict = "ahead" if ahead.low > 0 else "behind" if ahead.high < 0 else "not told apart"
    predicted, happened, loss, rule_loss = (float(part.mean()) for part in (said[rows], came[rows], ours, theirs))
    told = _told(said[rows], came[rows], customers, "mae" in found.metrics)
    return Segment(dimension, value, int(rows.sum()), count, predicted, happened, loss, rule_loss, verdict, told)


def _told(said: Array, came: Array, customers: NDArray[Any], value: bool) -> Told:
    """Whether more is said than comes; rows of one customer count together."""
    _, customer = np.unique(customers, return_inverse=True)
    count = customer.max() + 1
    if count < CUSTOMERS_AT_LEAST or (value and len(np.unique(customer[came > 0])) < _OUTCOMES_AT_LEAST):
        return "too small"
    gap = float(np.mean(said - came))
    spread = float(np.sum(np.bincount(customer, weights=said - came - gap) ** 2))
    if not value:  # where all or none came, the sample shows no spread, and the probabilities do
        spread = max(spread, float(np.sum(said * (1 - said))))
    if abs(gap) <= _ERRORS * np.sqrt(spread) / len(said):
        return "as it came"
    return "too much" if gap > 0 else "too little"
