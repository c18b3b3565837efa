"""Lines of the list as people read it, on the page and in its files: what the list says and what only answers say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from serving.answers import AtRiskCustomer
from serving.listing import Page
from serving.state import State

REASONS_SHOWN = 2


@dataclass(frozen=True, slots=True)
class Line:
    """A customer on the list, with what only the whole answer says."""

    item: AtRiskCustomer
    low: float | None
    high: float | None
    last_activity: str | None
    reasons: list[str]

    def row(self) -> dict[str, Any]:
        """The line as a row of a file, by the names of `exports.columns`."""
        first, second, *_ = *self.reasons, None, None
        return self.item.__dict__ | {
            "cltv_low": self.low,
            "cltv_high": self.high,
            "last_activity": self.last_activity,
            "reason": first,
            "second_reason": second,
        }


def lines_of(state: State, found: Page) -> list[Line]:
    """The lines of a page of the list."""
    answers = state.store.answers_of(found.run, [item.customer_id for item in found.items])
    return [_line(item, orjson.loads(answers.get(item.customer_id, b"{}"))) for item in found.items]


def _line(item: AtRiskCustomer, answer: dict[str, Any]) -> Line:
    cltv, churn = answer.get("cltv") or {}, answer.get("churn") or {}
    raising = sorted((r for r in churn.get("reasons", ()) if r["effect"] > 0), key=lambda r: -r["effect"])
    reasons = [reason["text"] for reason in raising[:REASONS_SHOWN]] or ([item.reason] if item.reason else [])
    return Line(item, cltv.get("low"), cltv.get("high"), answer.get("last_activity"), reasons)
