"""Boxes in every spelling, and nothing that only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.repository import is_tick, plain_text, read_ticks


@pytest.mark.parametrize(
    ("line", "is_ticked"),
    [
        ("* [x] Task", True),
        ("- [X] Task", True),
        ("+ [ x ] Task", True),
        ("  1. [X ] Task", True),
        ("> - [✅] Task", True),
        ("- [check] Task", True),
        ("- [:white_check_mark:] Task", True),
        ("- (x) Task", True),
        (r"- \[x\] Task", True),
        ("[x] Task", True),
        ("☑ Task", True),
        ("✅ Task", True),
        ("* [**x**] **Task**", True),
        ("* [ ] Task", False),
        ("* [] Task", False),
        ("* [/] Task", False),
        ("* [..] Task", False),
        ("☐ Task", False),
        ("- [no] Task", False),
    ],
)
def test_a_box_is_ticked_or_not(line: str, is_ticked: bool) -> None:
    """Whatever stands in it."""
    (tick,) = read_ticks(f"# Title\n\n{line}\n")
    assert (tick.is_ticked, tick.text, tick.line) == (is_ticked, "Task", 3)


@pytest.mark.parametrize(
    "line",
    [
        "[x](https://example.com) link",
        "* [word] Text",
        "[1] A reference",
        "(x) marks the spot",
        "```\n- [x] code\n```",
        "text [x] text",
    ],
)
def test_what_is_no_box(line: str) -> None:
    """Links, references, prose, code."""
    assert read_ticks(line) == []


def test_markup_is_taken_off() -> None:
    """What a reader sees."""
    assert plain_text("**Use** `train.py` and [link](x) ![i](y) <b>now</b> \\_a\\_ snake_case") == (
        "Use train.py and link i now _a_ snake_case"
    )
    assert is_tick(" ✔️ ")


def test_a_fence_on_one_line_is_no_fence() -> None:
    """Inline code of three backticks opens nothing; a real fence ends where it ends."""
    text = "```--- fill here ---```\n- [x] One\n~~~~\n- [x] in\n~~~\n- [x] still in\n~~~~\n- [ ] Two\n"
    assert [tick.text for tick in read_ticks(text)] == ["One", "Two"]


@given(st.text(alphabet="-*+[]()xX ✅`~>\\\n1.#a", max_size=80))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_no_text_raises(text: str) -> None:
    """Any text has some boxes or none."""
    for tick in read_ticks(text):
        assert tick.line >= 1
