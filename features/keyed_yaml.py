"""YAML to plain data that remembers the line of every key.

YAML 1.2's words for true and false only: `no: purchase` is a key named `no`, a channel named `on`
stays text, and dates stay text for the models to read. PyYAML keeps the last of two equal keys
without a word; here they are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from features.errors import InputError

Key = str | int

_DEEPEST = 40
_MOST_NODES = 100_000  # aliases can make a small file unfold without end
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")}
_HOW = "YAML as in the journeys that ship"


@dataclass(frozen=True, slots=True)
class Keyed:
    """Plain data and the line of every key in it."""

    data: Any
    lines: dict[tuple[Key, ...], int] = field(default_factory=dict)

    def line(self, key: tuple[Key, ...]) -> int:
        """The line of a key, or of the nearest one around it."""
        while key not in self.lines and key:
            key = key[:-1]
        return self.lines.get(key, 1)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {}

for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def compose(text: str, name: str) -> Keyed:
    """Plain data of one YAML document.

    Raises
    ------
    InputError
        Not YAML, empty, no mapping, or a key given twice; with the line.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise InputError(name, "is empty", _HOW, "start from a copy of one of them")
        if not isinstance(node, yaml.MappingNode):
            raise InputError(f"{name}, line 1", "is not a mapping of keys to values", _HOW)
        reader = _Reader(loader, name)
        return Keyed(reader.plain(node, ()), reader.lines)
    except yaml.YAMLError as error:
        raise _syntax(error, name) from None
    except RecursionError:
        raise InputError(name, "is nested too deeply", _HOW) from None


def _syntax(error: yaml.YAMLError, name: str) -> InputError:
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark else ""
    said = getattr(error, "problem", None) or str(error).splitlines()[0]
    context = getattr(error, "context", None)
    return InputError(
        f"{name}{line}",
        f"is not YAML: {said}" + (f" ({context})" if context else ""),
        _HOW,
        "check the indentation, brackets and quotes of this line and the one above",
    )


class _Reader:
    """Walks the nodes once, keeping lines and refusing equal keys."""

    def __init__(self, loader: _Loader, name: str) -> None:
        self.loader, self.name = loader, name
        self.lines: dict[tuple[Key, ...], int] = {}
        self.nodes = 0

    def plain(self, node: yaml.Node, key: tuple[Key, ...]) -> Any:
        self.lines.setdefault(key, node.start_mark.line + 1)
        self.nodes += 1
        if len(key) > _DEEPEST or self.nodes > _MOST_NODES:
            raise InputError(f"{self.name}, line {self.lines[key]}", "is nested too deeply", _HOW)
        if node.tag not in _TAGS:
            raise self._refused(node, f"is not YAML of plain values: the tag {node.tag!r}", key, "leave the tag out")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, (*key, number)) for number, item in enumerate(node.value)]
        try:
            return self.loader.construct_object(node)
        except (ValueError, TypeError):
            raise self._refused(node, f"{node.value!r} is not a {node.tag.rsplit(':', 1)[-1]}", key) from None

    def _mapping(self, node: yaml.MappingNode, key: tuple[Key, ...]) -> dict[str, Any]:
        self._refuse_equal_keys(node, key)
        self.loader.flatten_mapping(node)
        found: dict[str, Any] = {}
        for name_node, value in node.value:
            name = self._name(name_node, key)
            self.lines[(*key, name)] = name_node.start_mark.line + 1
            found[name] = self.plain(value, (*key, name))
        return found

    def _name(self, node: yaml.Node, key: tuple[Key, ...]) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._refused(node, "a key must be text", key)
        return str(node.value)

    def _refuse_equal_keys(self, node: yaml.MappingNode, key: tuple[Key, ...]) -> None:
        first: dict[str, int] = {}
        for name_node, _ in node.value:
            name = self._name(name_node, key)
            if name in first:
                what = "two columns are mapped to this name" if key[-1:] == ("columns",) else "the key is given twice"
                raise self._refused(
                    name_node, f"{what}; the first is on line {first[name]}", (*key, name), "keep one of the two"
                )
            first[name] = name_node.start_mark.line + 1

    def _refused(self, node: yaml.Node, found: str, key: tuple[Key, ...], do: str = "") -> InputError:
        place = f"{self.name}, line {node.start_mark.line + 1}, {'.'.join(map(str, key)) or 'the journey'}"
        return InputError(place, found, do=do)
