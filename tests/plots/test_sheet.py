"""A sheet of pictures keeps proportions, words and sizes in their places."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from loopline.plots import SheetPicture, picture_sheet

GREEN = (0, 160, 0)


def picture(width: int, height: int) -> bytes:
    """A green PNG picture of that size."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), GREEN).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_wide_picture_stays_wide() -> None:
    """A picture of 2 to 1 fills the width of its square and half of the height, and the words stand below."""
    sheet = Image.open(io.BytesIO(picture_sheet([[SheetPicture(picture(400, 200), ("wide",))]])))
    pixels = np.asarray(sheet)
    green = (pixels == GREEN).all(axis=2)
    assert green.any(axis=0).sum() == 112
    assert green.any(axis=1).sum() == 56
    assert (pixels[115:] < 128).any()


def test_only_the_last_line_of_a_wrong_one_is_red() -> None:
    """Red is in the sheet where an answer is wrong, and nowhere else; a long line is cut."""

    def has_red(wrong: bool) -> bool:
        lines = ("a true class with a long name", "taken for")
        pixels = np.asarray(Image.open(io.BytesIO(picture_sheet([[SheetPicture(picture(9, 9), lines, wrong)]]))))
        return bool(((pixels[..., 0] > 150) & (pixels[..., 1] < 90)).any())

    assert has_red(True)
    assert not has_red(False)


def test_what_is_no_picture_is_an_error() -> None:
    """Bytes that Pillow cannot read are not drawn as something else."""
    with pytest.raises(OSError, match="cannot identify"):
        picture_sheet([[SheetPicture(b"words", ("a",))]])
