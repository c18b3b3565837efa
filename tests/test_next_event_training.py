"""Training of the next event: what it learns, what it never says, and what it does not look at."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from features.errors import InputError
from features.journey import Journey
from features.next_event import END
from features.records import from_records
from training.next_event import fit_next_event
from training.recipe import Recipe

QUICK = Recipe(learning_rate=0.3, leaves=4, rows_per_leaf=3, rounds_at_most=15, patience=3)
JOURNEY = Journey.model_validate(
    {
        "journey": "desk",
        "events": [{"file": "none.parquet"}],
        "types": ["open", "wait", "fix", "close"],
        "channels": ["mail", "phone"],
        "tasks": {"next_event": {}},
        "observed_until": "2024-01-01T00:00:00Z",
    }
)


def desk(cases=60, prefix="c"):
    """Calls are fixed at once; mails wait first."""
    rows = []
    for number in range(cases):
        channel = "phone" if number % 2 else "mail"
        steps = ["open", "fix", "close"] if number % 2 else ["open", "wait", "fix", "close"]
        for place, step in enumerate(steps):
            when = f"2023-{1 + number % 9:02}-{1 + number % 20:02}T1{place}:00:00Z"
            rows.append({"customer_id": f"{prefix}{number}", "time": when, "event": step, "channel": channel})
    return from_records(rows, JOURNEY)[0]


def test_it_learns_what_comes_next_and_how_histories_end():
    model = fit_next_event(JOURNEY, desk(), recipe=QUICK)
    assert model.classes == (END, "close", "fix", "wait")
    rows, found = model.predict(desk(4, prefix="new"))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    likeliest = np.asarray(model.classes)[found.argmax(axis=1)]
    told = rows.with_columns(next=pl.Series(likeliest))
    assert told.filter(pl.col("customer_id") == "new0")["next"].to_list() == ["wait", "fix", "close", END]
    assert told.filter(pl.col("customer_id") == "new1")["next"].to_list() == ["fix", "close", END]


def test_what_never_followed_a_type_is_never_expected_after_it():
    model = fit_next_event(JOURNEY, desk(), recipe=QUICK)
    _, found = model.predict(desk(2, prefix="new"))
    assert found[0, model.classes.index(END)] == 0
    assert found[0, model.classes.index("close")] == 0


def test_an_event_type_that_was_never_seen_is_answered():
    model = fit_next_event(JOURNEY, desk(), recipe=QUICK)
    odd = desk(2, prefix="new").with_columns(event=pl.lit("surprise"))
    _, found = model.predict(odd)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_without_absolute_dates_a_shift_of_years_changes_nothing():
    model = fit_next_event(JOURNEY, desk(), absolute=False, recipe=QUICK)
    events = desk(6, prefix="new")
    weeks = 52 * 7 * 86_400 * 1_000_000
    later = events.with_columns(pl.col("time") + weeks, pl.col("known_at") + weeks)
    model_without_load = model.predict(later)[1]
    assert "log_days" not in model.columns.names
    np.testing.assert_allclose(model_without_load.argmax(axis=1), model.predict(events)[1].argmax(axis=1))


def test_the_same_data_give_the_same_answers_whatever_the_threads():
    one, two = (fit_next_event(JOURNEY, desk(), recipe=QUICK, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.predict(desk(5, prefix="n"))[1], two.predict(desk(5, prefix="n"))[1])


def test_too_little_to_learn_from_is_refused():
    with pytest.raises(InputError, match=r"tasks\.next_event: 2 histories with"):
        fit_next_event(JOURNEY, desk(2), recipe=QUICK)
