"""Reads a journey file: YAML to a `Journey`, with every problem named by file, line and key."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from features.errors import InputError
from features.journey import Journey, Profile, Source
from features.keyed_yaml import Key, Keyed, compose
from features.own import load
from features.schema import CANONICAL, CUSTOMER

SHIPPED = Path(__file__).resolve().parent.parent / "journeys"
_LARGEST = 1_000_000  # bytes: a journey file is written by hand

# What pydantic says, in words for someone who writes YAML.
_WORDS = {
    "missing": "is missing",
    "string_type": "is not text",
    "bool_type": "is neither true nor false",
    "bool_parsing": "is neither true nor false",
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "float_type": "is not a number",
    "float_parsing": "is not a number",
    "list_type": "is not a list",
    "dict_type": "is not a mapping",
    "model_type": "is not a mapping",
    "model_attributes_type": "is not a mapping",
    "finite_number": "is not a finite number",
}
_WAYS_OUT = {
    "string_type": "put it in quotes",
    "list_type": "write [one, two]",
}


def shipped() -> list[str]:
    """Names of the journeys that ship."""
    return sorted(path.stem for path in SHIPPED.glob("*.yml"))


def read(name_or_path: str | Path) -> tuple[Journey, Path]:
    """The journey and the folder its relative paths start at.

    Parameters
    ----------
    name_or_path : str or Path
        A shipped name such as `complete_journey`, or the path of a YAML file.

    Raises
    ------
    InputError
        The file cannot be read or understood; every problem at once, each with line and key. Or the
        module of features it names cannot be used.
    """
    path = _find(name_or_path)
    keyed = compose(_text(path), str(path))
    try:
        journey = Journey.model_validate(keyed.data)
    except ValidationError as error:
        raise _refusal(path, keyed, _problems(error, keyed.data)) from None
    unknown = _unknown_columns(journey)
    if unknown:
        raise _refusal(path, keyed, unknown)
    return journey.with_own(load(journey.features, path.parent) if journey.features else None), path.parent


def did_you_mean(given: str, known: list[str]) -> str:
    """`; did you mean 'purchase'?`, or nothing where no known name is close."""
    close = get_close_matches(given, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _find(name_or_path: str | Path) -> Path:
    given = str(name_or_path)
    path = Path(given)
    if path.is_file():
        return path
    if given in shipped():
        return SHIPPED / f"{given}.yml"
    if path.is_dir():
        found = "is a folder"
    elif path.suffix in (".yml", ".yaml") or len(path.parts) > 1:
        found = "no such file"
    else:
        found = "no journey of this name and no such file" + did_you_mean(given, shipped())
    names = ", ".join(shipped()) or "none"
    raise InputError(given or "journey", found, f"the path of a YAML file, or a shipped name: {names}")


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(str(path), "is larger than 1 MB", "a journey definition in YAML")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(str(path), "is not UTF-8 text", "a journey definition in YAML") from None
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})", "a readable YAML file") from None


_Problem = tuple[tuple[Key, ...], str, str, str]  # key, found, accepted, what to do


def _refusal(path: Path, keyed: Keyed, problems: list[_Problem]) -> InputError:
    """One error for all problems: a single one in full, several as a list."""
    placed = [
        (keyed.line(key), ".".join(map(str, key)) or "the journey", found, accepted, do)
        for key, found, accepted, do in problems
    ]
    if len(placed) == 1:
        line, key, found, accepted, do = placed[0]
        return InputError(f"{path}, line {line}, {key}", found, accepted, do)
    lines = [f"{len(placed)} problems"]
    for line, key, found, accepted, do in sorted(placed):
        lines.append(f"  line {line}, {key}: {found}")
        lines += [f"    accepted: {accepted}"] if accepted else []
        lines += [f"    what to do: {do}"] if do else []
    return InputError(str(path), "\n".join(lines))


def _problems(error: ValidationError, data: Any) -> list[_Problem]:
    """Pydantic's errors as problems in the words of the file, each key once."""
    found: dict[tuple[Key, ...], _Problem] = {}
    for item in error.errors(include_url=False, include_context=False):
        if _of_other_form(item["loc"], data):
            continue
        key = _key(item["loc"], data, missing=item["type"] == "missing")
        found.setdefault(key, _problem(key, item["type"], item["msg"], item["input"]))
    return list(found.values())


def _of_other_form(loc: tuple[Key, ...], data: Any) -> bool:
    """Whether the error speaks of the form of `stages` that the file does not use."""
    if len(loc) < 2 or loc[0] != "stages":
        return False
    return str(loc[1]).startswith("literal") == isinstance(data.get("stages"), dict)


def _key(loc: tuple[Key, ...], data: Any, missing: bool) -> tuple[Key, ...]:
    """The error's place as keys of the file: names of union members and of mapping keys left out."""
    key: list[Key] = []
    for part in loc[:-1] if missing else loc:
        known = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
        if part in known:
            data = data[part]
            key.append(part)
    return (*key, loc[-1]) if missing else tuple(key)


def _problem(key: tuple[Key, ...], kind: str, message: str, given: Any) -> _Problem:
    accepted = _accepted(key[:-1] if kind in ("extra_forbidden", "missing") else key)
    if kind == "extra_forbidden":
        name = str(key[-1])
        return key, f"unknown key {name!r}{did_you_mean(name, accepted)}", ", ".join(accepted), ""
    if kind == "missing":
        return key, _WORDS[kind], "", f"add {key[-1]}"
    if kind in _WORDS:
        return key, f"{given!r} {_WORDS[kind]}", ", ".join(accepted), _WAYS_OUT.get(kind, "")
    message = message.removeprefix("Value error, ")
    if kind == "value_error":
        said, _, allowed = message.partition("; accepted: ")
        return key, said, allowed, ""
    return key, f"{given!r} is refused", message.removeprefix("Input should be ").removeprefix("a valid "), ""


def _accepted(key: tuple[Key, ...]) -> list[str]:
    """Keys a mapping at this place of the file takes; empty where any name goes."""
    schema = Journey.model_json_schema()
    found: list[dict[str, Any]] = [schema]
    for part in key:
        found = [inner for form in found for inner in _inside(form, part, schema["$defs"])]
    return [name for form in found for name in form.get("properties", {})]


def _inside(form: dict[str, Any], part: Key, named: dict[str, Any]) -> list[dict[str, Any]]:
    """The forms of the JSON schema one step further in."""
    inner = form.get("properties", {}).get(part) or (
        form.get("items") if isinstance(part, int) else form.get("additionalProperties")
    )
    forms = inner.get("anyOf", [inner]) if isinstance(inner, dict) else []
    return [named[one["$ref"].rsplit("/", 1)[1]] if "$ref" in one else one for one in forms]


def _unknown_columns(journey: Journey) -> list[_Problem]:
    """Names in `columns` that are neither canonical nor declared."""
    sources: list[tuple[tuple[Key, ...], Source | Profile, list[str]]] = [
        (("events", number), source, [*CANONICAL, *journey.properties]) for number, source in enumerate(journey.events)
    ]
    if journey.profile:
        asked = [*journey.profile.features, *journey.profile.segments]
        known = [column.known_at for column in journey.profile.features.values() if column.known_at]
        sources.append((("profile",), journey.profile, [CUSTOMER, *asked, *known]))
    return [
        (
            (*key, "columns", name),
            f"{name!r} is neither a canonical column nor declared{did_you_mean(name, accepted)}",
            ", ".join(accepted),
            "declare it under properties" if key[0] == "events" else "name it under features or segments",
        )
        for key, source, accepted in sources
        for name in source.columns
        if name not in accepted
    ]
