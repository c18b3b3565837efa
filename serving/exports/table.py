"""What is exported: a stream of JSON documents, each of which can be read as a row of plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson

from features.schema import to_text
from serving.answers import AtRiskCustomer
from serving.exports.columns import OF_A_RUN, Column, of_the_lines, of_the_list
from serving.tables import Run

Value: TypeAlias = str | float | int | bool | datetime | None
Row: TypeAlias = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Table:
    """Customers in order; read once, from the front, never held as a whole.

    Attributes
    ----------
    columns
        What a row holds, in order.
    documents
        One JSON object per customer; iterating it a second time continues where the first ended.
    read
        From the object to the row's values; times as text.
    run
        The run they come from; null: unknown.
    whole
        Whether the documents hold more than the columns: a run's whole answers.
    """

    columns: tuple[Column, ...]
    documents: Iterator[bytes]
    read: Callable[[dict[str, Any]], dict[str, Any]]
    run: Run | None = None
    whole: bool = False

    def rows(self) -> Iterator[Row]:
        """The documents as rows; instants in UTC without a zone, what is no plain value as JSON text."""
        for document in self.documents:
            yield self.row(document)

    def row(self, document: bytes) -> Row:
        """One document as a row."""
        found = self.read(orjson.loads(document))
        return {column.name: _plain(found.get(column.name), column) for column in self.columns}


def of_the_at_risk_list(customers: Iterable[AtRiskCustomer], run: Run | None) -> Table:
    """The list as the people who work it get it."""
    return Table(of_the_list(), (orjson.dumps(one.__dict__) for one in customers), lambda found: found, run)


def of_the_lines_shown(lines: Iterable[dict[str, Any]], run: Run) -> Table:
    """The list as the page shows it, line by line."""
    return Table(of_the_lines(), (orjson.dumps(line) for line in lines), lambda found: found, run)


def of_a_run(
    answers: Iterable[tuple[str, bytes]], run: Run | None, suppressed: Mapping[str, str] | None = None
) -> Table:
    """Every answer of a run, in the order of `answers`; `suppressed` says why not to contact whom."""

    def told(answer: dict[str, Any]) -> dict[str, Any]:
        return _flat(answer) | {"suppressed": suppressed.get(answer["customer_id"]) if suppressed else None}

    return Table(OF_A_RUN, (document for _, document in answers), told, run, whole=True)


def with_run(table: Table) -> Table:
    """The same rows with `cutoff` and `scored_at`, so that a system knows how old its values are."""
    run, names = table.run, {column.name for column in table.columns}
    added = tuple(column for column in OF_A_RUN if column.name in ("cutoff", "scored_at") and column.name not in names)
    if run is None or not added:
        return table
    told = {"cutoff": to_text(run.cutoff), "scored_at": to_text(run.scored_at)}
    return Table((*table.columns, *added), table.documents, lambda found: table.read(found) | told, run, table.whole)


def _flat(answer: dict[str, Any]) -> dict[str, Any]:
    """The numbers of an answer, side by side."""
    stage, churn, following, cltv = (answer.get(part) or {} for part in ("stage", "churn", "next_stage", "cltv"))
    raising = [reason for reason in churn.get("reasons", ()) if reason["effect"] > 0]
    top: dict[str, Any] = max(raising, key=lambda reason: reason["effect"], default={})
    return answer | {
        "stage": stage.get("name"),
        "stage_since": stage.get("since"),
        "risk": churn.get("risk"),
        "churn_probability": churn.get("probability"),
        "churn_percentile": churn.get("percentile"),
        "churn_ineligible_reason": churn.get("ineligible_reason"),
        "next_stage": following.get("stage"),
        "next_stage_probability": (following.get("probabilities") or {}).get(following.get("stage")),
        "cltv_expected": cltv.get("expected"),
        "cltv_low": cltv.get("low"),
        "cltv_high": cltv.get("high"),
        "currency": cltv.get("currency"),
        "reason_code": top.get("code"),
        "reason": top.get("text"),
    }


def _plain(value: Any, column: Column) -> Value:
    if value is None:
        return None
    if column.kind == "time":
        return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
    if column.kind == "text":
        return value if isinstance(value, str) else orjson.dumps(value).decode()
    plain: Value = value
    return plain
