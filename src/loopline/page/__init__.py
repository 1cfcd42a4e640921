"""One self-contained HTML file from a title and blocks: no script, no other file, readable on paper and in the dark."""

from loopline.page.blocks import Block, Figure, Section, Table, Text, Tile, Tiles, Verdict
from loopline.page.render import render_page

__all__ = ["Block", "Figure", "Section", "Table", "Text", "Tile", "Tiles", "Verdict", "render_page"]
