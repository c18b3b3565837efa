"""Risk bands from run to run: a customer on the edge keeps the band they have."""

from __future__ import annotations

from typing import NamedTuple

from features.journey import Risk, RiskBands
from serving.answers import Answer


class Band(NamedTuple):
    """A risk band, the one before it, and since when it is so (microseconds; null: before the first run)."""

    risk: Risk | None
    before: Risk | None
    since: int | None


def settled(answer: Answer, before: Risk | None, bands: RiskBands) -> Answer:
    """The answer with the band of a customer whose band was `before` (null: had none)."""
    churn = answer.churn
    if churn is None or churn.probability is None:
        return answer
    risk = bands.band(churn.probability, before)
    if risk == churn.risk:
        return answer
    return answer.model_copy(update={"churn": churn.model_copy(update={"risk": risk})})


def moved(known: Band | None, risk: Risk | None, scored_at: int, *, compared: bool) -> Band:
    """The band in a run scored at an instant: one that stays keeps its date.

    Parameters
    ----------
    known
        The band in the run before; null: the run before did not have the customer.
    compared
        Whether there is a run before; of the first, nothing is known but the band.
    """
    if not compared:
        return Band(risk, None, None)
    if known is not None and known.risk == risk:
        return known
    return Band(risk, known.risk if known else None, scored_at)
