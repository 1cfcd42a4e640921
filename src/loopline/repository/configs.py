"""Configuration files as values with lines: YAML, TOML, INI, JSON and JSON with comments.

Nothing is constructed: an unknown YAML tag keeps its plain value, a date stays text, and a file that would grow beyond
a limit through its aliases is refused.
"""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from loopline.core.errors import missing_extra

Place = tuple[str | int, ...]
_MAX_NODES = 200_000
_MAX_DEPTH = 200


@dataclass(frozen=True)
class Config:
    """A parsed file: its documents (one, but for YAML), and the line of each key and list item where known."""

    path: str
    documents: tuple[Any, ...]
    lines: Mapping[Place, int] = field(default_factory=dict)

    @property
    def value(self) -> Any:
        """The first document; None where there is none."""
        return self.documents[0] if self.documents else None

    def get(self, *place: str | int) -> Any:
        """The value at a place such as `("tool", "ruff")` of the first document; None where there is none."""
        return at(self.value, *place)

    def line(self, *place: str | int) -> int | None:
        """The line of that place, or of the closest one around it that is known."""
        while place:
            if place in self.lines:
                return self.lines[place]
            place = place[:-1]
        return None

    def walk(self) -> Iterator[tuple[Place, Any]]:
        """Every key's and list item's place and value, of all documents."""
        for document in self.documents:
            yield from _walk((), document)


class ConfigProblem(Exception):
    """A file that its parser refuses, with the reason."""


def at(value: Any, *place: str | int) -> Any:
    """What lies at a place inside of nested mappings and lists; None where there is nothing."""
    for part in place:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, Sequence) and not isinstance(value, str) and isinstance(part, int):
            value = value[part] if -len(value) <= part < len(value) else None
        else:
            return None
    return value


def parse_config(path: str, text: str) -> Config | None:
    """The parsed file; None where its name is not one of a configuration. Raises `ConfigProblem`."""
    name = PurePosixPath(path).name.lower()
    parse = next((parser for pattern, parser in _PARSERS if re.search(pattern, name)), None)
    if parse is None:
        return None
    try:
        return parse(path, text)
    except RecursionError:
        raise ConfigProblem("nested too deeply") from None


def is_config(path: str) -> bool:
    """Whether the name is one of a configuration that can be parsed."""
    name = PurePosixPath(path).name.lower()
    return any(re.search(pattern, name) for pattern, _ in _PARSERS)


def _parse_yaml(path: str, text: str) -> Config:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents: list[Any] = []
    lines: dict[Place, int] = {}
    try:
        if _may_be_deep(text):
            _check_depth(yaml.parse(text, Loader=loader))
        for index, node in enumerate(yaml.compose_all(text, Loader=loader)):
            reader = _YamlReader(lines if index == 0 else {})
            documents.append(reader.value(node, ()))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f" on line {mark.line + 1}"
        raise ConfigProblem(f"no YAML: {getattr(error, 'problem', None) or 'a bad character'}{place}") from None
    except ValueError as error:
        raise ConfigProblem(f"no YAML: {error}") from None
    return Config(path, tuple(documents), lines)


def _may_be_deep(text: str) -> bool:
    """Whether brackets, or dashes in front of a line, are enough for more than the depth that is allowed."""
    openings = text.count("[") + text.count("{")
    return openings > _MAX_DEPTH or any(
        len(dashes) > _MAX_DEPTH for dashes in re.findall(r"^[\s?-]+", text, re.MULTILINE)
    )


def _check_depth(events: Iterable[Any]) -> None:
    """Refuses what the composer, which calls itself for each level, would end the process over."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += kind in ("SequenceStartEvent", "MappingStartEvent")
        depth -= kind in ("SequenceEndEvent", "MappingEndEvent")
        if depth > _MAX_DEPTH:
            raise ConfigProblem("nested too deeply")


class _YamlReader:
    """Nodes to plain values; numbers and booleans by YAML's core rules, everything else is text."""

    def __init__(self, lines: dict[Place, int]) -> None:
        self._lines = lines
        self._num_nodes = 0
        self._open: set[int] = set()

    def value(self, node: Any, place: Place) -> Any:
        """The plain value of a composed node."""
        self._num_nodes += 1
        if self._num_nodes > _MAX_NODES:
            raise ConfigProblem(f"more than {_MAX_NODES:,} values")
        if node is None:
            return None
        if node.id == "scalar":
            return _yaml_scalar(node)
        if id(node) in self._open:  # an alias to what holds it
            return None
        self._open.add(id(node))
        value = self._mapping(node, place) if node.id == "mapping" else self._sequence(node, place)
        self._open.discard(id(node))
        return value

    def _mapping(self, node: Any, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(_yaml_key(key_node))
            value = self.value(value_node, (*place, key))
            if key == "<<":
                for merged in value if isinstance(value, list) else [value]:
                    found = {**(merged if isinstance(merged, dict) else {}), **found}
                continue
            self._lines.setdefault((*place, key), key_node.start_mark.line + 1)
            found[key] = value
        return found

    def _sequence(self, node: Any, place: Place) -> list[Any]:
        found = []
        for index, item in enumerate(node.value):
            self._lines.setdefault((*place, index), item.start_mark.line + 1)
            found.append(self.value(item, (*place, index)))
        return found


def _yaml_key(node: Any) -> str:
    """A key as it is written: `on` stays `on`, whatever YAML 1.1 thinks of it."""
    return node.value if isinstance(node.value, str) else "?"


def _yaml_scalar(node: Any) -> Any:
    kind = node.tag.rpartition(":")[2]
    text = node.value
    if node.style or kind not in ("null", "bool", "int", "float"):
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in ("true", "yes", "on")
    try:
        number = float(text.replace("_", ""))
    except ValueError:
        return text
    return int(number) if kind == "int" and number.is_integer() else number


def _parse_toml(path: str, text: str) -> Config:
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigProblem(f"no TOML: {error}") from None
    return Config(path, (value,), _toml_lines(text))


def _toml_lines(text: str) -> dict[Place, int]:
    """The lines of tables and of their keys, from the usual spellings; strings over several lines may mislead it."""
    lines: dict[Place, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line):
            table = tuple(re.findall(r"[^.\"'\s]+", match[1]))
            lines.setdefault(table, number)
        elif match := re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line):
            lines.setdefault((*table, *match[1].split(".")), number)
    return lines


def _parse_ini(path: str, text: str) -> Config:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(text)
    except configparser.Error as error:  # its message would repeat the line
        problem = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()
        raise ConfigProblem(f"no INI: {problem} on line {getattr(error, 'lineno', 1)}") from None
    value = {section: dict(parser.items(section)) for section in parser.sections()}
    lines: dict[Place, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\[([^\]]+)\]", line):
            section = match[1]
            lines.setdefault((section,), number)
        elif match := re.match(r"([^\s#;=:][^=:]*?)\s*[=:]", line):
            lines.setdefault((section, match[1].lower()), number)
    return Config(path, (value,), lines)


def _parse_json(path: str, text: str) -> Config:
    for candidate in (text, _without_comments(text)):
        try:
            return Config(path, (json.loads(candidate),))
        except ValueError as error:
            problem = str(error)
    raise ConfigProblem(f"no JSON: {problem}")


def _without_comments(text: str) -> str:
    """JSON with comments and trailing commas made plain; strings stay as they are."""
    plain = re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', lambda match: match[1] or " ", text, flags=re.DOTALL)
    return re.sub(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', lambda match: match[1] or "", plain)


def _walk(place: Place, value: Any) -> Iterator[tuple[Place, Any]]:
    if place:
        yield place, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _walk((*place, key), item)


_PARSERS = (
    (r"\.(ya?ml|dvc)$|^dvc\.lock$|^\.clang-format$", _parse_yaml),
    (r"\.toml$|^pipfile$", _parse_toml),
    (r"\.(ini|cfg)$|^\.(flake8|coveragerc|pylintrc|isort\.cfg|pypirc)$|^config$|^pylintrc$", _parse_ini),
    (r"\.(jsonc?|webmanifest)$|^pipfile\.lock$", _parse_json),
)
