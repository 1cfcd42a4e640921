"""A short cut to the pixels of plain JPEG files, which are most of the small files there are.

Pillow spends as long on opening a small JPEG (markers read in Python, metadata, one object per layer) as on decoding
it. A file whose markers are all of the simple kinds needs none of that: its bytes go straight to the same decoder with
the same arguments. Whatever is not plain, or not decoded without complaint, is left to the transform, whose word
counts; `tests/data/test_plain_jpeg.py` holds the two against each other.

H height, W width, C channels (red, green, blue).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_MARKER = 0xFF
# Baseline, extended and progressive frames, and the start of the compressed data.
_FRAMES = {0xC0, 0xC1, 0xC2}
_SCAN = 0xDA
# JFIF header, tables, restart interval, comment: nothing that turns the picture or changes its colours.
_PLAIN = {0xE0, 0xDB, 0xC4, 0xDD, 0xFE}


def decode_plain_jpeg(raw: bytes, *, max_pixels: int) -> NDArray[np.uint8] | None:
    """x_HWC uint8 of a plain JPEG in three channels; None where the transform must look at the file."""
    size = _plain_size(raw)
    if size is None or size[0] * size[1] > max_pixels:
        return None
    try:
        # The decoder's arguments: colours as red, green, blue; no other mode asked of libjpeg.
        image = Image.frombytes("RGB", size, raw, "jpeg", "RGB", "")
    except (ValueError, OSError):
        return None
    return np.frombuffer(image.tobytes(), dtype=np.uint8).reshape(size[1], size[0], 3)


def _plain_size(raw: bytes) -> tuple[int, int] | None:
    """(width, height) from the frame's header, where every marker before the scan is plain; source: ITU-T T.81, B.2."""
    if raw[:2] != b"\xff\xd8":
        return None
    size = None
    place = 2
    while place + 10 <= len(raw) and raw[place] == _MARKER:
        marker = raw[place + 1]
        if marker == _SCAN:
            return size
        if marker in _FRAMES:
            precision, num_components = raw[place + 4], raw[place + 9]
            width, height = _number(raw, place + 7), _number(raw, place + 5)
            if size is not None or precision != 8 or num_components != 3 or not width or not height:
                return None
            size = (width, height)
        elif marker not in _PLAIN:
            return None
        place += 2 + _number(raw, place + 2)
    return None


def _number(raw: bytes, place: int) -> int:
    return raw[place] << 8 | raw[place + 1]
