"""The short cut against the transform: it may decline, and where it answers, the answer is the same."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from loopline.core.errors import InvalidExample
from loopline.data.plain_jpeg import decode_plain_jpeg
from loopline.transforms.image import DecodeImage

transform = DecodeImage(mode="RGB")


def picture(width: int = 17, height: int = 11, mode: str = "RGB") -> Image.Image:
    x = np.linspace(0, 255, width * height * 3).astype(np.uint8).reshape(height, width, 3)
    return Image.fromarray(x).convert(mode)


def jpeg(image: Image.Image, **parameters: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **parameters)
    return buffer.getvalue()


def short_cut(raw: bytes) -> np.ndarray | None:
    return decode_plain_jpeg(raw, max_pixels=10_000)


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from([5, 60, 95, 100]),
    st.sampled_from([0, 1, 2]),
    st.booleans(),
    st.sampled_from([0, 3]),
)
def test_plain_files_give_the_transforms_pixels(
    width: int, height: int, quality: int, subsampling: int, progressive: bool, restart: int
) -> None:
    raw = jpeg(
        picture(width, height),
        quality=quality,
        subsampling=subsampling,
        progressive=progressive,
        restart_marker_blocks=restart,
        comment=b"plain",
    )
    found = short_cut(raw)
    assert found is not None
    np.testing.assert_array_equal(found, transform(raw))


@given(st.randoms(use_true_random=False), st.booleans())
def test_damaged_files_are_never_taken_where_the_transform_refuses(chance: random.Random, progressive: bool) -> None:
    raw = bytearray(jpeg(picture(), progressive=progressive))
    for _ in range(chance.randint(1, 3)):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    damaged = bytes(raw[: chance.randint(len(raw) // 2, len(raw))])
    found = short_cut(damaged)
    if found is not None:
        np.testing.assert_array_equal(found, transform(damaged))


def test_every_truncation_is_left_to_the_transform_or_decoded_alike() -> None:
    raw = jpeg(picture())
    for length in range(len(raw)):
        found = short_cut(raw[:length])
        if found is not None:
            np.testing.assert_array_equal(found, transform(raw[:length]))
    half = raw[: len(raw) * 3 // 4]
    assert short_cut(half) is None
    with pytest.raises(InvalidExample):
        transform(half)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xd8",
        b"no picture",
        jpeg(picture(mode="L")),
        jpeg(picture(mode="CMYK")),
        jpeg(picture(), icc_profile=b"profile"),
        jpeg(picture(101, 100)),
    ],
    ids=["empty", "start", "text", "grey", "cmyk", "profile", "large"],
)
def test_what_is_not_plain_is_left_to_the_transform(raw: bytes) -> None:
    assert short_cut(raw) is None


def test_a_turned_picture_is_left_to_the_transform() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = jpeg(picture(), exif=exif)
    assert short_cut(raw) is None
    assert transform(raw).shape == (17, 11, 3)
