"""What is typed on a command line, read by the rules of a request; an option not given is null."""

from __future__ import annotations

from typing import Any, TypeVar, cast, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from features.errors import InputError
from features.instants import microseconds
from features.journey import Campaign, Duration
from serving.asked import AskedCosts, AskedDraw, AskedFilters, WorklistChange, instant
from serving.clock import now
from serving.filters import Filters, Sort, Wanted
from serving.worklist import Change

_INCLUDED = ("suppressed", "snoozed")
_Asked = TypeVar("_Asked", bound=BaseModel)


def filters(*, include: list[str] | None = None, **options: Any) -> Filters:
    """Filters of a list.

    Raises
    ------
    InputError
        Where one cannot be used.
    """
    if wrong := set(include or ()) - set(_INCLUDED):
        raise InputError("--include", ", ".join(sorted(wrong)), ", ".join(_INCLUDED))
    return _read(AskedFilters, options).filters(frozenset(include or ()))


def costs(campaign: Campaign, **options: float | None) -> Campaign:
    """The journey's costs with those given in their place.

    Raises
    ------
    InputError
        Where one cannot be used.
    """
    return _read(AskedCosts, options).over(campaign)


def draw(**options: Any) -> AskedDraw:
    """A campaign's name, cut and hold-out.

    Raises
    ------
    InputError
        Where one cannot be used.
    """
    return _read(AskedDraw, options)


def wanted(filters: Filters, sort: str, costs: Campaign) -> Wanted:
    """A list.

    Raises
    ------
    InputError
        Where it cannot be sorted so.
    """
    if sort not in get_args(Sort):
        raise InputError("--sort", repr(sort), ", ".join(get_args(Sort)))
    return Wanted(filters, cast(Sort, sort), costs)


def change(**options: Any) -> Change | None:
    """What changes on the worklist; null: nothing is given.

    Raises
    ------
    InputError
        Where it cannot be used.
    """
    if all(value is None for value in options.values()):
        return None
    return _read(WorklistChange, options).change()


def at(option: str, text: str) -> int:
    """An instant in microseconds.

    Raises
    ------
    InputError
        Where it is none.
    """
    try:
        return instant(text)
    except ValueError as error:
        raise InputError(option, repr(text), str(error)) from None


def end(option: str, text: str) -> int:
    """An instant to come in microseconds: one that is written out, or `90d` from now.

    Raises
    ------
    InputError
        Where it is neither.
    """
    try:
        return now() + microseconds(TypeAdapter(Duration).validate_python(text))
    except ValidationError:
        return at(option, text)


def _read(kind: type[_Asked], options: dict[str, Any]) -> _Asked:
    try:
        return kind.model_validate({name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        fault = error.errors()[0]
        option = "--" + str(fault["loc"][0]).replace("_", "-") if fault["loc"] else "options"
        raise InputError(option, repr(fault["input"]), fault["msg"].removeprefix("Value error, ")) from None
