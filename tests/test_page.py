"""Pages: one file, no script, everything escaped."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import pytest
from PIL import Image

from loopline.core.errors import InputError
from loopline.page import (
    Code,
    Figure,
    Figures,
    KeyFigure,
    KeyFigures,
    Section,
    Table,
    Text,
    Verdict,
    render_page,
)

HOSTILE = '<script>alert("1")</script>&\'"'


def png(width: int = 40, height: int = 20) -> bytes:
    """A small picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, "PNG")
    return buffer.getvalue()


def hostile_page() -> str:
    """A page in which every text is hostile."""
    sections = [
        Section(
            HOSTILE,
            (
                Text(HOSTILE),
                Code(HOSTILE),
                Verdict("bad", HOSTILE),
                KeyFigures((KeyFigure(HOSTILE, HOSTILE, HOSTILE),)),
                Table(HOSTILE, (HOSTILE, "n"), ((HOSTILE, "1"),)),
                Figures((Figure(png(), alt=HOSTILE, caption=HOSTILE),)),
            ),
        )
    ]
    return render_page(HOSTILE, sections, lead=HOSTILE, facts=[(HOSTILE, HOSTILE)])


def test_every_text_is_escaped() -> None:
    """No text becomes markup, wherever it stands, attributes included."""
    page = hostile_page()
    assert "<script" not in page
    assert 'alt="&lt;script&gt;' in page
    assert page.count("&lt;script&gt;") >= 12


def test_a_page_is_one_file_without_script() -> None:
    """It loads nothing, says so in its policy, and has what a screen reader needs."""
    page = hostile_page()
    assert re.search(r'http-equiv="Content-Security-Policy" content="default-src \'none\'', page)
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert '<html lang="en"' in page
    assert "<caption>" in page
    assert 'scope="col"' in page
    assert page.count("<h1") == 1


def test_figures_state_their_size() -> None:
    """Width and height are the picture's, divided by its pixel ratio."""
    figure = Figure(png(40, 20), alt="white", pixel_ratio=2)
    assert figure.size == (20, 10)
    assert figure.data_uri.startswith("data:image/png;base64,")


def test_numbers_are_aligned() -> None:
    """A column is numeric where every cell is a number."""
    table = Table("t", ("name", "share", "mixed"), (("a", "1.5%", "1"), ("b", "1,000", "x")))
    assert table.numeric == (False, True, False)
    assert Table("empty", ("a",), ()).numeric == (False,)


def test_the_foot_says_when() -> None:
    """The page carries the moment that it is about."""
    page = render_page("t", [], created_at=datetime(2026, 1, 31, 12, 30, tzinfo=UTC))
    assert "2026-01-31" in page


def test_broken_blocks_are_refused() -> None:
    """A row of another length and a picture that is none are errors when they are made."""
    with pytest.raises(InputError, match="a row has 1 cells, not 2"):
        Table("t", ("a", "b"), (("1",),))
    with pytest.raises(InputError, match="no PNG"):
        Figure(b"GIF89a", alt="x")
