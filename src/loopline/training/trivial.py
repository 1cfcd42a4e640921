"""TrivialAugment: one operation out of fourteen, of a strength drawn evenly over its whole range.

Source: Müller and Hutter, "TrivialAugment: Tuning-free yet State-of-the-Art Data Augmentation", ICCV 2021, the wide
ranges of its table; nothing in it is to be tuned. With Pillow, because torchvision's draws from torch's global
generator, which would have to be forked for every picture. Pictures are 8 bits, grey or RGB.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

# What shows where a picture was moved away from: neither dark nor bright.
_GREY = 128
_ROTATION_DEG = 135.0
_SHEAR = 0.99
_SHIFT_PX = 32.0
_ENHANCEMENT = 0.99
_FEWEST_BITS = 2

# A picture, and a strength in [-1, 1]; operations that know no direction take its size.
Operation = Callable[[Image.Image, float], Image.Image]


def trivial_augment(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """The picture after one random operation; size and mode stay."""
    operation = OPERATIONS[_NAMES[int(random.integers(len(_NAMES)))]]
    return operation(picture, float(random.uniform(-1, 1)))


def _moved(picture: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    """Every pixel (x, y) from (a x + b y + c, d x + e y + f) of the picture."""
    fill = _GREY if picture.mode == "L" else (_GREY,) * 3
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, fillcolor=fill)


def _rotate(picture: Image.Image, strength: float) -> Image.Image:
    fill = _GREY if picture.mode == "L" else (_GREY,) * 3
    return picture.rotate(_ROTATION_DEG * strength, fillcolor=fill)


def _enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance]) -> Operation:
    return lambda picture, strength: kind(picture).enhance(1 + _ENHANCEMENT * strength)


def _plain(change: Callable[[Image.Image], Image.Image]) -> Operation:
    """An operation that has no strength."""
    return lambda picture, _strength: change(picture)


OPERATIONS: dict[str, Operation] = {
    "identity": _plain(lambda picture: picture),
    "auto_contrast": _plain(ImageOps.autocontrast),
    "equalize": _plain(ImageOps.equalize),
    "posterize": lambda picture, strength: ImageOps.posterize(picture, 8 - round((8 - _FEWEST_BITS) * abs(strength))),
    "solarize": lambda picture, strength: ImageOps.solarize(picture, round(255 * (1 - abs(strength)))),
    "brightness": _enhanced(ImageEnhance.Brightness),
    "color": _enhanced(ImageEnhance.Color),
    "contrast": _enhanced(ImageEnhance.Contrast),
    "sharpness": _enhanced(ImageEnhance.Sharpness),
    "rotate": _rotate,
    "shear_x": lambda picture, strength: _moved(picture, (1, _SHEAR * strength, 0, 0, 1, 0)),
    "shear_y": lambda picture, strength: _moved(picture, (1, 0, 0, _SHEAR * strength, 1, 0)),
    "shift_x": lambda picture, strength: _moved(picture, (1, 0, _SHIFT_PX * strength, 0, 1, 0)),
    "shift_y": lambda picture, strength: _moved(picture, (1, 0, 0, 0, 1, _SHIFT_PX * strength)),
}
_NAMES = tuple(OPERATIONS)
