"""Layer 2: one self-contained HTML page from sections: no script, no other file, readable in print and in the dark.

A page is a title and sections; a section is a heading and blocks; a block is one of the frozen classes below. Text is
text: everything but `Markup` is escaped, so a label named `<b>` shows as `<b>`.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, ClassVar, Literal

from loopline.core.errors import InputError
from loopline.core.records import utc_now

if TYPE_CHECKING:
    from jinja2 import Template

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NUMBER_PART = r"[+\-−<>≤≥]?\s?[\d.,]+\s?(%|s|ms|[kMG]i?B|B)?(e[+-]?\d+)?"
# A number with its unit, a range of two, or a dash for none.
_NUMBER = re.compile(rf"{_NUMBER_PART}( – {_NUMBER_PART})?|–")


@dataclass(frozen=True)
class Text:
    """One paragraph."""

    text: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Code:
    """Lines of a shell session or a file, kept as they are."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Verdict:
    """The answer of a page in one sentence; `outcome` sets its colour and its mark, which colour-blind readers need."""

    outcome: Literal["good", "bad", "neutral"]
    text: str
    kind: ClassVar[str] = "verdict"


@dataclass(frozen=True)
class KeyFigure:
    """A figure to see from afar: what it is, the value as text, and a line of detail such as its interval."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class KeyFigures:
    """A row of key figures."""

    figures: tuple[KeyFigure, ...]
    kind: ClassVar[str] = "key_figures"


@dataclass(frozen=True)
class Table:
    """A table with its caption; the first cell names its row, other columns that hold only numbers are set right."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise InputError(f"table '{self.caption}': a row has {len(row)} cells, not {len(self.columns)}.")

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Per column, whether every cell is a number."""
        cells = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.columns)
        return tuple(
            index > 0 and bool(column) and all(_NUMBER.fullmatch(cell) for cell in column)
            for index, column in enumerate(cells)
        )


@dataclass(frozen=True)
class Figure:
    """A PNG picture; `alt` says in words what it shows; `pixel_ratio` pixels of it make one pixel of the page."""

    png: bytes
    alt: str
    caption: str = ""
    pixel_ratio: float = 2.0

    def __post_init__(self) -> None:
        if not self.png.startswith(_PNG_SIGNATURE):
            raise InputError("a figure's bytes are no PNG.")

    @property
    def data_uri(self) -> str:
        """The picture as a `data:` address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height on the page, so that it does not jump while pictures are decoded."""
        width, height = struct.unpack(">II", self.png[16:24])
        return round(width / self.pixel_ratio), round(height / self.pixel_ratio)


@dataclass(frozen=True)
class Figures:
    """Pictures side by side where the page is wide enough."""

    figures: tuple[Figure, ...]
    kind: ClassVar[str] = "figures"


@dataclass(frozen=True)
class Markup:
    """HTML that goes into the page as it is: whoever makes one has sanitised what came from outside."""

    html: str
    kind: ClassVar[str] = "markup"


Block = Text | Code | Verdict | KeyFigures | Table | Figures | Markup


@dataclass(frozen=True)
class Section:
    """Blocks under a heading; without a heading it continues the page's head."""

    heading: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """The heading as a fragment of the page's address."""
        return re.sub(r"[^a-z0-9]+", "-", self.heading.lower()).strip("-")


def render_page(
    title: str,
    sections: Sequence[Section],
    *,
    lead: str = "",
    facts: Sequence[tuple[str, str]] = (),
    created_at: datetime | None = None,
) -> str:
    """The HTML of a page: title, a sentence (`lead`), the sections, and last `facts` (where it comes from) as a list.

    `created_at` (default: now) stands in the foot. The text has no script, no link to anything outside itself and
    forbids both by its content security policy. Raises `MissingExtra` (through the command line) without Jinja.
    """
    return _template().render(
        title=title,
        lead=lead,
        sections=sections,
        contents=[section for section in sections if section.heading],
        facts=facts,
        created_at=created_at or utc_now(),
        style=_resource("style.css"),
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    # Everything is escaped; StrictUndefined makes a name that the template misspells an error.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_resource("template.html"))


def _resource(name: str) -> str:
    return resources.files("loopline.page").joinpath(name).read_text(encoding="utf-8")
