"""A sheet of pictures: the clean ones above, the corrupted ones below, with what the model said."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_SIZE_PX = 112
_GAP_PX = 12
_TEXT_PX = 22
_INK, _WRONG = "#1b1f24", "#b3261e"


def picture_sheet(
    rows: Sequence[Sequence[bytes]], captions: Sequence[Sequence[str]], *, wrong: Sequence[Sequence[bool]]
) -> bytes:
    """Rows of picture files with a caption each, red where it is wrong, as a PNG at twice the page's resolution."""
    num_columns = max(map(len, rows))
    cell_height = _SIZE_PX + _TEXT_PX + _GAP_PX
    sheet = Image.new("RGB", (num_columns * (_SIZE_PX + _GAP_PX) - _GAP_PX, len(rows) * cell_height - _GAP_PX), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for y, (raws, words, flags) in enumerate(zip(rows, captions, wrong, strict=True)):
        for x, (raw, word, flag) in enumerate(zip(raws, words, flags, strict=True)):
            left, top = x * (_SIZE_PX + _GAP_PX), y * cell_height
            with Image.open(io.BytesIO(raw)) as picture:
                sheet.paste(picture.convert("RGB").resize((_SIZE_PX, _SIZE_PX), Image.Resampling.NEAREST), (left, top))
            draw.text((left, top + _SIZE_PX + 3), word, fill=_WRONG if flag else _INK, font=font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
