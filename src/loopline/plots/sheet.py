"""A sheet of pictures with a few words below each, drawn with Pillow alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

_SIZE_PX = 112
_GAP_PX = 12
_LINE_PX = 19
_INK, _WRONG = "#1b1f24", "#b3261e"


@dataclass(frozen=True)
class SheetPicture:
    """A picture file, and the lines below it; the last is red where it is wrong."""

    raw: bytes
    lines: tuple[str, ...]
    wrong: bool = False


def picture_sheet(rows: Sequence[Sequence[SheetPicture]]) -> bytes:
    """Rows of pictures as a PNG; each keeps its proportions in a square of 112 pixels.

    Raises `OSError` for a picture that Pillow cannot read.
    """
    num_columns = max(map(len, rows))
    num_lines = max(len(picture.lines) for row in rows for picture in row)
    cell_height = _SIZE_PX + num_lines * _LINE_PX + 3 + _GAP_PX
    sheet = Image.new("RGB", (num_columns * (_SIZE_PX + _GAP_PX) - _GAP_PX, len(rows) * cell_height - _GAP_PX), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            left, top = x * (_SIZE_PX + _GAP_PX), y * cell_height
            small = _thumbnail(picture.raw)
            sheet.paste(small, (left + (_SIZE_PX - small.width) // 2, top + (_SIZE_PX - small.height) // 2))
            for index, line in enumerate(picture.lines):
                colour = _WRONG if picture.wrong and index == len(picture.lines) - 1 else _INK
                words = _shortened(line, font)
                draw.text((left, top + _SIZE_PX + 3 + index * _LINE_PX), words, fill=colour, font=font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _thumbnail(raw: bytes) -> Image.Image:
    with Image.open(io.BytesIO(raw)) as picture:
        scale = _SIZE_PX / max(picture.size)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        # The pixels of a tiny picture are what the model saw: they stay squares.
        how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
        return picture.convert("RGB").resize(size, how)


def _shortened(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The line, cut where the next picture's begins."""
    if font.getlength(line) <= _SIZE_PX + _GAP_PX // 2:
        return line
    while line and font.getlength(line + "…") > _SIZE_PX + _GAP_PX // 2:
        line = line[:-1]
    return line + "…"
