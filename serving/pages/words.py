"""Numbers, amounts and instants as pages show them; what is unknown is a dash."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from features.schema import DAY, to_datetime

DASH = "–"
_RISKS = {"high": "High", "medium": "Medium", "low": "Low"}
_TASKS = {"churn": "Churn", "next_stage": "Next stage", "cltv": "CLTV"}
_STATUSES = {
    "open": "Open",
    "assigned": "Assigned",
    "snoozed": "Snoozed",
    "contacted": "Contacted",
    "won": "Won back",
    "lost": "Lost",
}
_SUPPRESSED = {"opted_out": "Suppressed", "contacted": "Contacted lately", "held_out": "Held out by a campaign"}
_METRICS = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "ece": "ECE",
    "macro_f1": "macro F1",
    "mae": "MAE",
    "rmse": "RMSE",
    "spearman": "Spearman",
    "gini": "Gini",
    "tweedie_deviance": "Tweedie deviance",
}
_DIRECT = {"risk": _RISKS, "task": _TASKS, "status": _STATUSES, "suppressed": _SUPPRESSED, "metric": _METRICS}


def count(value: float | None) -> str:
    """`1,234`."""
    return DASH if value is None else f"{value:,.0f}"


def number(value: float | None, digits: int = 2) -> str:
    """`1,234.50`."""
    return DASH if value is None else _unsigned(f"{value:,.{digits}f}")


def signed(value: float | None, digits: int = 2) -> str:
    """`+12.30`, with a true minus sign."""
    if value is None:
        return DASH
    text = _unsigned(f"{value:,.{digits}f}")
    return text.replace("-", "−") if text.startswith("-") else f"+{text}" if float(text.replace(",", "")) else text


def money(value: float | None, currency: str | None, digits: int | None = None) -> str:
    """`USD 34.20`; from a thousand on without the digits behind the point."""
    if value is None:
        return DASH
    shown = digits if digits is not None else 2 if abs(value) < 1000 else 0
    text = _unsigned(f"{value:,.{shown}f}").replace("-", "−")
    return f"{currency} {text}" if currency else text


def percent(share: float | None, digits: int = 0) -> str:
    """`31 %`; what is there at all never reads as nothing."""
    if share is None:
        return DASH
    least = 10.0**-digits
    if 0 < 100 * share < least / 2:
        return f"under {least:g} %"
    return f"{_unsigned(f'{100 * share:.{digits}f}')} %"


def day(instant: str | int | None) -> str:
    """`3 Dec 2017` of an ISO 8601 text or of microseconds."""
    when = _read(instant)
    return DASH if when is None else f"{when.day} {when:%b %Y}"


def moment(instant: str | int | None) -> str:
    """`3 Dec 2017, 14:05 UTC`."""
    when = _read(instant)
    return DASH if when is None else f"{when.day} {when:%b %Y, %H:%M} UTC"


def iso(instant: str | int | None) -> str:
    """For the `datetime` attribute of a time."""
    when = _read(instant)
    return "" if when is None else when.isoformat().replace("+00:00", "Z")


def days_before(earlier: str | int | None, later: str | int | None) -> str:
    """`12 days` from one instant to another."""
    first, last = _read(earlier), _read(later)
    if first is None or last is None:
        return DASH
    return days((last - first).total_seconds() / 86_400)


def days(length: float | None) -> str:
    """`12 days`, `1 day`, `6 hours`, of a number of days."""
    if length is None:
        return DASH
    if length < 1:
        hours = round(24 * length)
        return "under an hour" if hours < 1 else f"{hours} hour{'' if hours == 1 else 's'}"
    shown = f"{length:,.0f}" if length >= 10 else f"{length:.1f}".removesuffix(".0")
    return f"{shown} day{'' if shown == '1' else 's'}"


def of_microseconds(length: int) -> float:
    """A duration in days."""
    return length / DAY


def plain(name: str | None) -> str:
    """A stage, event type or property as it is read in a sentence."""
    return DASH if name is None else name.replace("_", " ")


def named(value: str | None, kind: str) -> str:
    """A band, a task, a status as people call it."""
    return DASH if value is None else _DIRECT[kind].get(value, plain(value))


FILTERS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (count, number, signed, money, percent, day, moment, iso, days_before, days, plain, named)
}


def _unsigned(text: str) -> str:
    """The number without a minus sign before a nought."""
    return text.removeprefix("-") if not any(digit in text for digit in "123456789") else text


def _read(instant: str | int | None) -> datetime | None:
    if instant is None:
        return None
    if isinstance(instant, int):
        return to_datetime(instant)
    return datetime.fromisoformat(instant).astimezone(UTC)
