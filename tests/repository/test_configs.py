"""Configuration files become plain values with lines, whatever is in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.repository import Config, at, read_texts
from loopline.repository.configs import ConfigProblem, is_config, parse_config


def config(path: str, text: str) -> Config:
    """The parsed text."""
    parsed = parse_config(path, text)
    assert parsed is not None
    return parsed


YAML = """\
on: push
name: !secret token
deep: &anchor
  list: [1, 2.5, 0x10, 1_000, true, no, null, ~, 2024-01-01]
  text: "1"
merged:
  <<: *anchor
  own: yes
object: !!python/object/apply:os.system ["true"]
loop: &loop
  again: *loop
? [complex, key]
: value
---
second: 2
"""


def test_yaml_keeps_what_is_written() -> None:
    """Tags construct nothing, `on` stays a key, anchors merge, an alias to its own holder ends."""
    parsed = config("a.yaml", YAML)
    assert parsed.get("on") == "push"
    assert parsed.get("name") == "token"
    assert parsed.get("deep", "list") == [1, 2.5, "0x10", 1000, True, False, None, None, "2024-01-01"]
    assert parsed.get("deep", "text") == "1"
    assert parsed.get("merged") == {"list": parsed.get("deep", "list"), "text": "1", "own": True}
    assert parsed.get("object") == ["true"]
    assert parsed.get("loop") == {"again": None}
    assert parsed.documents[1] == {"second": 2}
    assert [parsed.line("on"), parsed.line("deep", "list", 2), parsed.line("merged", "own")] == [1, 4, 8]
    assert parsed.line("deep", "list", 99) == 4
    assert parsed.line("nowhere") is None
    assert (("second",), 2) in list(parsed.walk())


@pytest.mark.parametrize(
    ("path", "text", "place", "value", "line"),
    [
        ("pyproject.toml", "[tool.ruff]\nline-length = 100\n", ("tool", "ruff", "line-length"), 100, 2),
        ("Pipfile", "[packages]\ntorch = '*'\n", ("packages", "torch"), "*", 2),
        ("tox.ini", "[testenv:lint]\ncommands =\n    ruff check\n", ("testenv:lint", "commands"), "\nruff check", 2),
        (".flake8", "[flake8]\nignore = W503 % 3\n", ("flake8", "ignore"), "W503 % 3", 2),
        ("a.json", '{"a": [1]}', ("a", 0), 1, None),
        ("a.json", '{"a": "//x", /* c */ "b": [1, 2,], // d\n}', ("b", 1), 2, None),
        ("data.dvc", "outs:\n- path: data\n", ("outs", 0, "path"), "data", 2),
    ],
)
def test_other_formats_are_read(
    path: str, text: str, place: tuple[str | int, ...], value: Any, line: int | None
) -> None:
    """Each by its own parser, with lines where those can be told."""
    parsed = config(path, text)
    assert parsed.get(*place) == value
    assert parsed.line(*place) == line


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("a.yaml", "a: [1\nb: 2", "no YAML: did not find expected ',' or ']' on line 2"),
        ("a.yaml", "a: \x01", "no YAML"),
        ("a.toml", "a =", "no TOML: Invalid value (at end of document)"),
        ("a.ini", "password=secret", "no INI: missing section header on line 1"),
        ("a.json", "{'a'}", "no JSON: Expecting property name"),
        ("a.yaml", "[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("a.yaml", "- " * 100_000, "nested too deeply"),
        ("a.yaml", "{a: " * 100_000, "nested too deeply"),
        ("a.json", "[" * 100_000 + "]" * 100_000, "nested too deeply"),
        (
            "a.yaml",
            "a: &a [x,x]\n"
            + "".join(
                f"b{n}: &b{n} [*{'a' if not n else f'b{n - 1}'}, *{'a' if not n else f'b{n - 1}'}]\n" for n in range(20)
            ),
            "more than 200,000 values",
        ),
    ],
)
def test_what_a_parser_refuses_is_told_without_its_content(path: str, text: str, problem: str) -> None:
    """The reason never repeats a line, which may hold a secret; a bomb of aliases is stopped."""
    with pytest.raises(ConfigProblem) as caught:
        parse_config(path, text)
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)
    repository = read_texts({path: text})
    assert repository.configs.get(path) is None
    assert problem in repository.unreadable[path]


def test_other_files_are_no_configuration() -> None:
    """Names decide."""
    assert parse_config("a.py", "x") is None
    assert not is_config("uv.lock")
    assert is_config(".dvc/config")
    assert config("empty.yaml", "").value is None


def test_places_in_values_are_found_or_none() -> None:
    """Mappings by key, lists by number, anything else has nothing inside."""
    value = {"a": [{"b": 1}]}
    assert at(value, "a", 0, "b") == 1
    assert [at(value, *place) for place in (("x",), ("a", 5), ("a", "b"), ("a", 0, "b", "c"))] == [None] * 4


@given(st.sampled_from(["a.yaml", "a.toml", "a.ini", "a.json", ".dvc/config"]), st.text(max_size=80))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_no_text_raises_anything_else(path: str, text: str) -> None:
    """Any text is parsed or refused."""
    repository = read_texts({path: text})
    assert len(repository.configs) + len(repository.unreadable) <= 1
