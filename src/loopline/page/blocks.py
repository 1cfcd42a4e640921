"""What a page is made of. Every text is plain text: the page escapes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Tile:
    """A key figure with its name and, below it, what it means."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Tiles:
    """A row of key figures."""

    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Table:
    """A table; columns whose cells are all numbers are aligned to the right."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    @property
    def numeric(self) -> list[bool]:
        """Per column: do all of its cells look like numbers?"""
        return [
            bool(self.rows) and all(_looks_numeric(row[index]) for row in self.rows)
            for index in range(len(self.columns))
        ]


@dataclass(frozen=True)
class Figure:
    """A PNG picture; `alt` says in words what it shows, for who cannot see it."""

    png: bytes
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Verdict:
    """A sentence that matters, and whether it is good news."""

    kind: Literal["good", "bad", "neutral"]
    text: str


Block = Text | Tiles | Table | Figure | Verdict


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """The section's id in links."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


def _looks_numeric(cell: object) -> bool:
    text = str(cell).strip().rstrip("%").replace(",", "")
    return text.lstrip("+-−").replace(".", "", 1).isdecimal()
