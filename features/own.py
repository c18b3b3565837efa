"""A business's own features: the Python module that its journey names.

The module runs as part of Journeycast: it is the business's own code, found through the definition that
the business wrote. A model never brings code. It carries the fingerprint of the features it learned from,
the module's text included, and whoever serves it reads the module anew from the journey's own folder.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from features.errors import InputError
from features.feature import REASONS, UNITS, Feature

if TYPE_CHECKING:
    from features.journey import Journey

Definitions = Callable[["Journey"], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Own:
    """A module's definitions: `place` names it in messages, `digest` is that of its text."""

    place: str
    digest: str
    definitions: Definitions = field(compare=False)

    def features(self, journey: Journey) -> tuple[Feature, ...]:
        """The module's features of a resolved journey.

        Raises
        ------
        InputError
            What it gives is not a series of features as `features.feature` describes them.
        """
        try:
            found = tuple(self.definitions(journey))
        except Exception as problem:
            raise InputError(self.place, f"features(journey) fails: {_told(problem)}") from problem
        return tuple(replace(self._checked(one), source=self.digest) for one in found)

    def _checked(self, one: Any) -> Feature:
        if not isinstance(one, Feature):
            raise InputError(self.place, f"{one!r} among the features", "values of the type features.feature.Feature")
        where = f"{self.place}, feature {one.name!r}"
        if not one.name.isidentifier():
            raise InputError(where, "not a name", "a letter, then letters, digits and _")
        for told, given, accepted in (("unit", one.unit, UNITS), ("reason", one.reason, tuple(REASONS))):
            if given not in accepted:
                raise InputError(where, f"{told} {given!r}", ", ".join(accepted))
        if not one.description.strip():
            raise InputError(where, "no description", "one sentence in words a retention team uses")
        return one


def load(name: str, base: Path) -> Own:
    """The module that a journey names: a path from the journey's folder that ends in `.py`, or a dotted name.

    Raises
    ------
    InputError
        There is no such module, it does not run, or it defines neither `FEATURES` nor `features`.
    """
    place = f"features: {name}"
    module = _from_file(base / name, place) if name.endswith(".py") else _installed(name, place)
    return Own(place, _digest(module, name), _definitions(module, place))


def _from_file(path: Path, place: str) -> ModuleType:
    if not path.is_file():
        raise InputError(place, f"no file {path}", "the path of a Python module, from the journey's folder")
    text = path.read_bytes()
    module = ModuleType(f"journeycast_features_{hashlib.sha256(text).hexdigest()[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look for the module they are defined in
    try:
        # Compiled anew, without a cache of bytecode beside the journey: the digest is that of what runs.
        code = SourceFileLoader(module.__name__, str(path)).source_to_code(text, str(path))
        exec(code, module.__dict__)  # noqa: S102 - the business's own code, named by its own definition
    except Exception as problem:
        del sys.modules[module.__name__]
        raise InputError(place, f"does not run: {_told(problem)}", do=f"mend {path}") from problem
    return module


def _installed(name: str, place: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(place, "neither a path nor a module", "a path that ends in .py, or a dotted name")
    try:
        return import_module(name)
    except Exception as problem:
        do = "install it, or give the path of a file that ends in .py"
        raise InputError(place, f"cannot be imported: {_told(problem)}", "an installed module", do) from problem


def _digest(module: ModuleType, name: str) -> str:
    file = getattr(module, "__file__", None)
    return hashlib.sha256(Path(file).read_bytes() if file else name.encode()).hexdigest()


def _definitions(module: ModuleType, place: str) -> Definitions:
    given, function = getattr(module, "FEATURES", None), getattr(module, "features", None)
    if given is None and callable(function):
        return function  # type: ignore[no-any-return]
    accepted = "FEATURES, a tuple of features.feature.Feature, or a function features(journey) that gives one"
    if given is None:
        raise InputError(place, "defines neither FEATURES nor features", accepted)
    if not isinstance(given, tuple | list):
        raise InputError(place, f"FEATURES is of type {type(given).__name__}", accepted)
    return lambda _: given


def _told(problem: Exception) -> str:
    """The exception and the line of the module it came from."""
    place = f"line {problem.lineno}, " if isinstance(problem, SyntaxError) and problem.lineno else ""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if not place and trace is not None:
        place = f"{Path(trace.tb_frame.f_code.co_filename).name} line {trace.tb_lineno}, "
    return f"{place}{type(problem).__name__}: {problem}"
