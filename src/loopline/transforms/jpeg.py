"""JPEG files decoded without a detour: straight into an array, and only as large as somebody needs them.

The decoder is the one that Pillow has inside, libjpeg-turbo, so the pixels are the same; what is saved is Pillow's way
from the decoder to an array, which takes as long as decoding. Where the package simplejpeg is missing or refuses a file
that Pillow reads, the caller goes Pillow's way.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
# What libjpeg-turbo computes with vector instructions, and Pillow's `draft` offers; the largest first.
_DIVISORS = (8, 4, 2)


def divisor_for(width: int, height: int, least: tuple[int, int] | None) -> int:
    """By how much a picture may be divided (1, 2, 4, 8) to keep at least `least` (height, width); 1 for None."""
    if least is None:
        return 1
    return next((number for number in _DIVISORS if height >= number * least[0] and width >= number * least[1]), 1)


def decode_jpeg(raw: bytes, *, mode: str, height: int, width: int) -> Pixels | None:
    """The pixels of a JPEG file as x_HWC; None where they must be decoded by other means.

    `mode` is the file's own (`L` or `RGB`); `height` and `width` are its size divided by 1, 2, 4 or 8 and rounded up.
    """
    library = _library()
    if library is None:
        return None
    try:
        # The smallest of the scales that gives this size; a factor below 2 would only be slower.
        x_HWC: Pixels = library.decode_jpeg(
            raw, "GRAY" if mode == "L" else "RGB", min_height=height, min_width=width, min_factor=2
        )
    except ValueError:
        # It stops at what other decoders overlook, such as bytes between two markers.
        return None
    return x_HWC if x_HWC.shape[:2] == (height, width) else None


@cache
def _library() -> ModuleType | None:
    try:
        import simplejpeg
    except ModuleNotFoundError:
        return None
    module: ModuleType = simplejpeg
    return module
