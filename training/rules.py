"""Simple rules: what a model must be ahead of to be worth its keep.

A rule is a value with a name in words and `fit`, which takes training rows and their labels and
gives a function from rows to predictions: probabilities never 0 or 1, expected values above 0.
They are fitted and tested on the very rows of the model, and given a fair chance: a rule that
said "never" or "nothing" would lose any proper loss by that alone, so every group's answer is
what the training rows of that group did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.btyd import fit_bg_nbd, fit_gamma_gamma
from training.metrics import VALUE_FLOOR

Array = NDArray[np.float64]
Predictor = Callable[[pl.DataFrame], Array]

DAYS_PER_MONTH = 365.25 / 12


@dataclass(frozen=True, slots=True)
class SimpleRule:
    """A rule in words and its fit: training rows and labels in, a function from rows to predictions out.

    The function gives shape (n,), or (n, classes) for the next stage.
    """

    name: str
    fit: Callable[[pl.DataFrame, NDArray[Any]], Predictor]


def best(losses: Mapping[str, Array]) -> str:
    """Name of the rule with the lowest mean loss; the first of equals.

    Chosen on the test rows themselves, which favours the rules: a lead over the best is no luck of
    having met a weak one.
    """
    return min(losses, key=lambda name: float(np.mean(losses[name])))


def _column(rows: pl.DataFrame, name: str) -> Array:
    """The column as floats, null as nan."""
    return rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


# Churn


def base_rate() -> SimpleRule:
    """Everyone at the training rows' churn rate."""

    def fit(_: pl.DataFrame, y: NDArray[Any]) -> Predictor:
        rate = _rate(np.asarray(y, dtype=np.float64))
        return lambda rows: np.full(rows.height, rate)

    return SimpleRule("base rate", fit)


def _rate(y: Array) -> float:
    """The rate, as if one positive and one negative had been seen before (Laplace): never 0 or 1."""
    return float((np.sum(y) + 1) / (len(y) + 2))


def no_purchase_within(recency: str, days: float) -> SimpleRule:
    """Two groups by whether the last purchase lies within `days`; each at its own churn rate.

    `recency` is the column of days since the last purchase; null: never bought, which is no
    purchase within any days.
    """

    def within(rows: pl.DataFrame) -> NDArray[np.bool_]:
        return np.asarray(_column(rows, recency) <= days)

    def fit(train: pl.DataFrame, y: NDArray[Any]) -> Predictor:
        group, y = within(train), np.asarray(y, dtype=np.float64)
        recent, silent = _rate(y[group]), _rate(y[~group])
        return lambda rows: np.where(within(rows), recent, silent)

    return SimpleRule(f"no purchase in the last {days:g} days", fit)


def no_purchase_rules(recency: str, horizon_days: float) -> tuple[SimpleRule, ...]:
    """`no_purchase_within` the last horizon, its half, quarter and eighth."""
    return tuple(no_purchase_within(recency, horizon_days / 2**k) for k in range(4))


def logistic(name: str, column: str) -> SimpleRule:
    """Logistic regression on log(1 + column), which is monotone in the column.

    Serves days since the last purchase and purchase counts of a window alike. Null (never bought,
    unknown) is a group of its own; a negative value counts as 0.
    """

    def inputs(rows: pl.DataFrame) -> Array:
        values = _column(rows, column)
        unknown = np.isnan(values)
        return np.column_stack([np.log1p(np.where(unknown, 0.0, np.maximum(values, 0.0))), unknown])

    def fit(train: pl.DataFrame, y: NDArray[Any]) -> Predictor:
        from sklearn.linear_model import LogisticRegression

        if len(np.unique(y)) < 2:
            return base_rate().fit(train, y)
        # The ridge keeps probabilities off 0 and 1 where one column separates the classes.
        model = LogisticRegression(C=100.0, solver="newton-cholesky", max_iter=1000)
        model.fit(inputs(train), np.asarray(y, dtype=np.int64))
        return lambda rows: np.asarray(model.predict_proba(inputs(rows))[:, 1])

    return SimpleRule(name, fit)


# Next stage


def stage_base_rate(classes: Sequence[str]) -> SimpleRule:
    """Every class at its share of the training rows."""
    return markov_chain("base rate", (), classes)


def markov_chain(name: str, columns: Sequence[str], classes: Sequence[str]) -> SimpleRule:
    """A Markov chain: the next stage given the present one and those before.

    Parameters
    ----------
    name : str
        In words.
    columns : sequence of str
        Columns of the present stage, the one before it, and so on: as many as the chain's order.
        Null and names outside `classes` are a stage of their own.
    classes : sequence of str
        What the label indexes and the columns of the prediction.

    Notes
    -----
    Each history's shares are smoothed by K = len(classes) pseudo-rows spread as the chain of the
    next lower order says, the lowest (no history) by one of each class, which is Laplace's rule. A
    history that training never met is thus answered by the longest part of it that it did meet.
    """
    codes = {stage: code for code, stage in enumerate(classes)}
    size = len(classes)

    def histories(rows: pl.DataFrame) -> list[NDArray[np.int64]]:
        """Number of each row's history at every order from 0 up."""
        found = [np.zeros(rows.height, dtype=np.int64)]
        for column in columns:
            stages = rows[column].cast(pl.String).to_list()
            found.append(
                found[-1] * (size + 1) + np.array([codes.get(stage, size) for stage in stages], dtype=np.int64)
            )
        return found

    def fit(train: pl.DataFrame, y: NDArray[Any]) -> Predictor:
        came = np.asarray(y, dtype=np.intp)
        shares = np.full((1, size), 1 / size)
        for order, history in enumerate(histories(train)):
            lower = np.repeat(shares, size + 1, axis=0) if order else shares
            counts = np.zeros(lower.shape)
            np.add.at(counts, (history, came), 1)
            shares = (counts + size * lower) / (counts.sum(axis=1, keepdims=True) + size)
        return lambda rows: shares[histories(rows)[-1]]

    return SimpleRule(name, fit)


# Customer lifetime value


def mean_value() -> SimpleRule:
    """Everyone at the training rows' mean value."""

    def fit(_: pl.DataFrame, y: NDArray[Any]) -> Predictor:
        mean = _mean(np.asarray(y, dtype=np.float64))
        return lambda rows: np.full(rows.height, mean)

    return SimpleRule("mean value", fit)


def _mean(y: Array) -> float:
    return max(float(np.mean(y)), VALUE_FLOOR) if len(y) else VALUE_FLOOR


def _or_group_mean(value: Callable[[pl.DataFrame], Array], train: pl.DataFrame, y: NDArray[Any]) -> Predictor:
    """`value`, and where it says nothing (nan, 0 or less) the mean of the training rows where it does so."""
    silent = _mean(np.asarray(y, dtype=np.float64)[~(value(train) > 0)])

    def predict(rows: pl.DataFrame) -> Array:
        values = value(rows)
        return np.where(values > 0, values, silent)

    return predict


def past_spend(spend: str, window_days: float, horizon_days: float) -> SimpleRule:
    """The spend of a window goes on: `spend / window_days * horizon_days`.

    Customers without spend in the window (null too) are at the mean value of such training rows.
    """

    def fit(train: pl.DataFrame, y: NDArray[Any]) -> Predictor:
        return _or_group_mean(lambda rows: _column(rows, spend) * (horizon_days / window_days), train, y)

    return SimpleRule(f"spend of the last {window_days:g} days goes on", fit)


def monthly_spend(spend: str, days: str | float, horizon_days: float) -> SimpleRule:
    """Average spend per month, times the horizon's months, times the retention rate.

    Parameters
    ----------
    spend : str
        Column of the spend so far, or in a window.
    days : str or float
        What it was spent in: a column (days since the first purchase) or a window's days; read as
        one month at least.
    horizon_days : float
        Days ahead.

    Notes
    -----
    The retention rate is the share of training rows whose value is above 0.
    """

    def per_month(rows: pl.DataFrame) -> Array:
        spent_in = _column(rows, days) if isinstance(days, str) else np.full(rows.height, float(days))
        return _column(rows, spend) / (np.maximum(spent_in, DAYS_PER_MONTH) / DAYS_PER_MONTH)

    def fit(train: pl.DataFrame, y: NDArray[Any]) -> Predictor:
        retained = _rate((np.asarray(y) > 0).astype(np.float64))
        months = horizon_days / DAYS_PER_MONTH
        return _or_group_mean(lambda rows: per_month(rows) * (months * retained), train, y)

    return SimpleRule("monthly spend x months x retention", fit)


def bg_nbd_gamma_gamma(
    frequency: str, recency: str, age: str, mean: str, horizon_days: float, customer: str = "customer_id"
) -> SimpleRule:
    """BG/NBD's expected purchases times the gamma-gamma model's expected value of one.

    Parameters
    ----------
    frequency, recency, age, mean : str
        Columns as `training.btyd` defines them: repeat purchase days, age at the last of them, age
        at the cutoff, mean value of a purchase day; null: never bought.
    horizon_days : float
        Days ahead.
    customer : str
        Column of the customer: of several rows only the oldest age is fitted on, since a history
        holds its own past.

    Notes
    -----
    Customers who never bought are at the mean value of such training rows. Where nobody has bought
    twice, a purchase is worth what makes the training rows' total right.
    """

    def statistics(rows: pl.DataFrame) -> tuple[Array, Array, Array]:
        return _column(rows, frequency), _column(rows, recency), _column(rows, age)

    def fit(train: pl.DataFrame, y: NDArray[Any]) -> Predictor:
        bought = train.filter(pl.all_horizontal(pl.col(frequency, recency, age).is_not_null()))
        if bought.is_empty():
            return mean_value().fit(train, y)
        newest = bought.sort(age).unique(customer, keep="last", maintain_order=True)
        purchases = fit_bg_nbd(*statistics(newest))

        def count(rows: pl.DataFrame) -> Array:
            return purchases.expected_purchases(horizon_days, *statistics(rows))

        if newest.filter((pl.col(frequency) > 0) & (pl.col(mean) > 0)).is_empty():
            worth = float(np.sum(y)) / max(float(np.nansum(count(train))), VALUE_FLOOR)
            return _or_group_mean(lambda rows: count(rows) * worth, train, y)
        values = fit_gamma_gamma(_column(newest, frequency), _column(newest, mean))
        return _or_group_mean(
            lambda rows: count(rows) * values.expected_value(_column(rows, frequency), _column(rows, mean)), train, y
        )

    return SimpleRule("BG/NBD with gamma-gamma", fit)


def scaled(rule: SimpleRule) -> SimpleRule:
    """A rule of values times the factor that makes the training rows' total right."""

    def fit(train: pl.DataFrame, y: NDArray[Any]) -> Predictor:
        predict = rule.fit(train, y)
        factor = max(float(np.sum(y)), VALUE_FLOOR) / float(np.sum(predict(train)))
        return lambda rows: predict(rows) * factor

    return SimpleRule(f"{rule.name}, scaled", fit)
