"""Leakage guard: a feature that alone tells the outcomes as good as perfectly fails training.

It is asked at all cutoffs together and at each one alone, those of the test too: what is written with hindsight, as
of the day a file was exported, knows most at the newest cutoff. That it passes proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.errors import InputError
from features.journey import Journey
from features.schema import CUSTOMER
from training.alone import Amounts, Classes, Question, drawn
from training.examples import Examples

Array = NDArray[np.float64]

ALMOST_PERFECT = 0.99  # of one feature alone: recency, a strong rule, reaches a ROC AUC of 0.75 to 0.85
FEWEST = 30  # customers of each outcome over all cutoffs: fewer are told by chance, when there are hundreds of features
FEWEST_AT_ONE = 50  # at one cutoff: of many cutoffs one is easier told than the others by chance
ROWS_AT_MOST = 10_000  # of all cutoffs together; shared by the cutoffs asked alone
ROWS_AT_ONE = 1_000  # of each cutoff alone at least
_UNASKED = (
    f"no feature was asked whether it knows the future: fewer than {FEWEST} customers of an outcome tell too little"
)
Suspect = tuple[float, str, Question]  # score, name and what it answers


def refuse_separation(
    journey: Journey, data: Examples, matrix: Array, names: Sequence[str], trusted: Sequence[str] = ()
) -> list[str]:
    """Refuse a feature that alone tells the outcomes almost perfectly; in words what could not be asked.

    Parameters
    ----------
    data, matrix, names
        The rows of every mature cutoff, their matrix and its columns.
    trusted
        Features of which the user says that they are known before the cutoff.

    Raises
    ------
    InputError
        Names the strongest such feature. Its own order counts, and any shape: bins of its values learned
        from half of the customers and judged on the others, so that chance counts for nothing.
    """
    found = [(question, told_alone(question, data, matrix)) for question in questions(journey, data)]
    suspects = [
        (float(score), name, question)
        for question, scores in found
        for name, score in zip(names, scores, strict=True)
        if score >= ALMOST_PERFECT and name not in trusted
    ]
    if suspects:
        raise _refusal(sorted(suspects, key=lambda suspect: -suspect[0]))
    asked = any(np.isfinite(scores).any() for _, scores in found)
    return [] if asked else [_UNASKED]


def _refusal(suspects: Sequence[Suspect]) -> InputError:
    score, name, question = suspects[0]
    others = list(dict.fromkeys(other for _, other, _ in suspects if other != name))[:3]
    more = f" (so do {', '.join(others)})" if others else ""
    return InputError(
        f"feature {name}",
        f"alone it tells {question.told} with a {question.measure} of {score:.3f}: it seems to know the future{more}",
        f"features below {ALMOST_PERFECT}",
        "see when the business really learns of it: give the column its known_at, or take it out; "
        f"--trust {name} trains with it all the same",
    )


def questions(journey: Journey, data: Examples) -> list[Question]:
    """What one feature must not tell of a task's outcomes.

    Whose stage changes is not enough to ask of the next stage: the next stage itself would hardly tell that. So it
    is asked of each stage who moves there, given the present stage; from two present stages, where customers suffice:
    that nobody is "new" after 30 days is known to every feature of time, and by right.
    """
    everyone = np.zeros(len(data.labels), dtype=np.intp)
    if data.task == "churn":
        return [Classes("who churns", everyone, data.labels[:, None] == 1)]
    if data.task == "next_stage":
        names = journey.stage_names
        present = data.rows["stage"].cast(pl.String).replace_strict(names, range(len(names)), default=-1).to_numpy()
        moves = Classes(
            "which stage comes next", present.astype(np.intp), data.labels[:, None] == np.arange(len(names))
        )
        whose = drawn(data.rows[CUSTOMER].to_numpy())
        return [
            Classes("whose stage changes", everyone, (data.labels != present)[:, None]),
            replace(moves, strata_at_least=min(2, moves.carried(whose, FEWEST))),
        ]
    return [
        Classes("who brings any value", everyone, data.labels[:, None] > 0),
        Amounts("how much value comes", np.asarray(data.labels)),
    ]


def told_alone(question: Question, data: Examples, matrix: Array) -> Array:
    """Per column how well it alone answers, at all cutoffs together or at the one where it does best.

    nan where there are too few customers everywhere.
    """
    cutoffs = data.cutoffs
    share = max(ROWS_AT_ONE, ROWS_AT_MOST // len(cutoffs))
    groups = [(np.ones(len(data.labels), dtype=bool), FEWEST, ROWS_AT_MOST)]
    groups += [(data.at((cutoff,)), FEWEST_AT_ONE, share) for cutoff in cutoffs if len(cutoffs) > 1]
    customers = drawn(data.rows[CUSTOMER].to_numpy())
    best = np.full(matrix.shape[1], np.nan)
    for which, fewest, most in groups:
        rows = np.flatnonzero(which)
        rows = rows[np.argsort(customers[rows], kind="stable")[:most]]  # whole customers, in a drawn order
        best = np.fmax(best, question.scores(matrix[rows], rows, customers[rows], fewest))
    return best
