"""A list as a page's address says it: the query of `GET /v1/at-risk`, read, changed and written again."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import urlencode

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import QueryParams

from serving.asked import AskedCosts, AskedFilters
from serving.filters import Wanted
from serving.routes.at_risk import AtRiskQuery, known_stage
from serving.state import State

Model = TypeVar("Model", bound=BaseModel)
_OF_A_PAGE = ("cursor", "limit", "format")  # what a list keeps when its filters change, and a link to it leaves out


def given(query: QueryParams) -> dict[str, list[str]]:
    """What an address says; a field that a form left empty says nothing."""
    found: dict[str, list[str]] = {}
    for name, value in query.multi_items():
        if value.strip():
            found.setdefault(name, []).append(value.strip())
    return found


def read(said: dict[str, list[str]]) -> AtRiskQuery:
    """The query that an address holds.

    Raises
    ------
    RequestValidationError
        Where it is none.
    """
    many = {"segment", "include"}
    values: dict[str, Any] = {name: found if name in many else found[-1] for name, found in said.items()}
    return checked(AtRiskQuery, values)


def checked(model: type[Model], values: dict[str, Any]) -> Model:
    """The values as a model.

    Raises
    ------
    RequestValidationError
        With every place that cannot be used.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError([{**fault, "loc": ("form", *fault["loc"])} for fault in error.errors()]) from None


def wanted(state: State, query: AtRiskQuery) -> Wanted:
    """The list that a query asks for, as the route of the same name takes it."""
    known_stage(state, query.stage)
    return Wanted(query.filters(frozenset(query.include)), query.sort, query.over(state.campaign))


def told(query: AtRiskQuery) -> dict[str, list[str]]:
    """What differs from the whole list, without the place in it: the part of an address to share."""
    fields = query.model_dump(exclude_defaults=True, exclude=set(_OF_A_PAGE), mode="json")
    return {
        name: [_text(each) for each in (value if isinstance(value, list) else [value])]
        for name, value in fields.items()
    }


def address(path: str, said: dict[str, list[str]], **changes: str | None) -> str:
    """A path with a query; a change of null takes its name out."""
    merged = said | {name: [value] if value is not None else [] for name, value in changes.items()}
    query = urlencode({name: found for name, found in merged.items() if found}, doseq=True)
    return f"{path}?{query}" if query else path


def filters_of(said: dict[str, list[str]]) -> list[tuple[str, str]]:
    """The filters among what is said, as pairs of name and value."""
    return [(name, value) for name, values in said.items() if name in AskedFilters.model_fields for value in values]


def costs_of(said: dict[str, list[str]]) -> dict[str, str]:
    """The costs among what is said."""
    return {name: values[-1] for name, values in said.items() if name in AskedCosts.model_fields}


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
