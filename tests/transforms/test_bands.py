"""TIFF files of bands to reflectance: every layout reads alike, and whatever is wrong is said in one sentence."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from loopline.core.errors import ConfigError, InvalidExample
from loopline.core.records import TransformStep
from loopline.transforms import build_pipeline
from loopline.transforms.bands import (
    DecodeBands,
    LogBands,
    NormalizeBands,
    ResizeBands,
    count_bands,
    encode_bands,
    split_band,
)

BANDS = ("green", "red", "red_edge", "nir")
HEIGHT, WIDTH = 12, 10
DECODE = DecodeBands(bands=BANDS)
SAMPLES_CHW = np.random.default_rng(0).integers(0, 50_000, (4, HEIGHT, WIDTH), dtype=np.uint16)
REFLECTANCE_HWC = (SAMPLES_CHW / np.float32(65535)).transpose(1, 2, 0)


def tiff(samples: NDArray[Any], **options: Any) -> bytes:
    """A TIFF file as tifffile writes it."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, photometric="minisblack", metadata=None, **options)
    return buffer.getvalue()


def pages(samples_CHW: NDArray[Any]) -> bytes:
    """A TIFF file with a page per band."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for samples_HW in samples_CHW:
            writer.write(samples_HW, photometric="minisblack", metadata=None, contiguous=False)
    return buffer.getvalue()


def with_tag(raw: bytes, code: int, value: int) -> bytes:
    """A little-endian file whose tag of that number has another value."""
    changed = bytearray(raw)
    with tifffile.TiffFile(io.BytesIO(raw)) as file:
        tag = file.pages.first.tags[code]
        struct.pack_into("<H" if tag.dtype == 3 else "<I", changed, tag.valueoffset, value)
    return bytes(changed)


PLANES = {"planarconfig": "separate"}
LAYOUTS: dict[str, Callable[[], bytes]] = {
    "our own": lambda: encode_bands(SAMPLES_CHW),
    "planes": lambda: tiff(SAMPLES_CHW, **PLANES),
    "pixels": lambda: tiff(SAMPLES_CHW.transpose(1, 2, 0), planarconfig="contig"),
    "pages": lambda: pages(SAMPLES_CHW),
    "deflated": lambda: tiff(SAMPLES_CHW, compression="zlib", **PLANES),
    "differences": lambda: tiff(SAMPLES_CHW, compression="zlib", predictor=True, **PLANES),
    "strips": lambda: tiff(SAMPLES_CHW, rowsperstrip=5, **PLANES),
    "tiles": lambda: tiff(SAMPLES_CHW, tile=(16, 16), **PLANES),
    "big-endian": lambda: tiff(SAMPLES_CHW, byteorder=">", **PLANES),
    "BigTIFF": lambda: tiff(SAMPLES_CHW, bigtiff=True, **PLANES),
    "float32": lambda: tiff((SAMPLES_CHW / 65535).astype(np.float32), **PLANES),
    "float64": lambda: tiff(SAMPLES_CHW / 65535, **PLANES),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_reflectance(layout: str) -> None:
    x_HWC = DECODE(LAYOUTS[layout]())
    assert x_HWC.dtype.name == "float32"
    assert x_HWC.flags["C_CONTIGUOUS"]
    np.testing.assert_allclose(x_HWC, REFLECTANCE_HWC, atol=1e-7)


def test_full_scale_is_the_largest_number_of_the_type_or_what_is_given() -> None:
    eight_CHW = np.full((4, HEIGHT, WIDTH), 51, dtype=np.uint8)
    assert DECODE(tiff(eight_CHW, **PLANES)).mean() == pytest.approx(0.2)
    scaled = DecodeBands(bands=BANDS, full_scale=10_000)
    thousands_CHW = np.full((4, HEIGHT, WIDTH), 2_000, dtype=np.uint16)
    assert scaled(tiff(thousands_CHW, **PLANES)).mean() == pytest.approx(0.2)
    assert scaled(tiff(thousands_CHW.astype(np.float32), **PLANES)).mean() == pytest.approx(0.2)


def test_nan_and_saturated_pixels_are_counted() -> None:
    x_CHW = (SAMPLES_CHW / 65535).astype(np.float32)
    x_CHW[2, 3, :4] = np.nan
    with pytest.raises(InvalidExample, match=r"^4 of 120 pixels of band red_edge are NaN or infinite\.$"):
        DECODE(encode_bands(x_CHW))
    bright_CHW = SAMPLES_CHW.copy()
    bright_CHW[3, :2] = 65535
    with pytest.raises(InvalidExample, match=r"^16\.7% of the pixels of band nir are saturated; expected at most 1\.0"):
        DECODE(encode_bands(bright_CHW))
    assert DecodeBands(bands=BANDS, max_saturated=0.2)(encode_bands(bright_CHW)).max() == 1


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "an empty file given; expected a TIFF file."),
        (b"\x89PNG....", "a file of 8 bytes that is no TIFF given"),
        (b"II*\0\xff\xff\xff\xff", "the TIFF file is broken or truncated."),
        (encode_bands(SAMPLES_CHW)[:-9], "the TIFF file is broken or truncated."),
        (encode_bands(SAMPLES_CHW[:3]), "3 bands given; expected 4 bands."),
        (encode_bands(SAMPLES_CHW[:1]), "1 band given; expected 4: green, red, red_edge, nir."),
        (pages(np.concatenate([SAMPLES_CHW, SAMPLES_CHW])), "5 bands given; expected 4"),
        (
            encode_bands(SAMPLES_CHW.astype(np.int32)),
            "samples of int32 given; expected uint8, uint16, float32, float64.",
        ),
        (
            with_tag(encode_bands(SAMPLES_CHW), 259, 5),
            "a TIFF file with compression LZW given; expected none or deflate.",
        ),
        (with_tag(tiff(SAMPLES_CHW[0]), 257, 60_000), "the TIFF file lacks some of its pixels."),
        (with_tag(tiff(SAMPLES_CHW[0]), 256, 0), "the picture is 0×12 pixels; expected 1 to 4,000,000 in all."),
    ],
)
def test_what_is_wrong_with_a_file_is_said(raw: bytes, sentence: str) -> None:
    with pytest.raises(InvalidExample) as refusal:
        DECODE(raw)
    assert sentence in refusal.value.message


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """What is deflated to a thousandth would be gigabytes; so would a size that only the header claims."""
    dark = tiff(np.zeros((2000, 2000), np.uint16), compression="zlib", rowsperstrip=2000)
    bomb = with_tag(dark, 278, 1)
    one = DecodeBands(bands=("nir",))
    assert one(dark).shape == (2000, 2000, 1)
    with pytest.raises(InvalidExample, match=r"lacks some of its pixels|holds more than its size says"):
        one(bomb)
    with pytest.raises(InvalidExample, match="holds more than its size says"):
        one(with_tag(with_tag(dark, 257, 20), 278, 20))
    with pytest.raises(InvalidExample, match=r"the picture is 2000×2000 pixels; expected 1 to 1,000 in all"):
        DecodeBands(bands=("nir",), max_pixels=1000)(dark)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_bytes_raise_anything_but_the_refusal(data: st.DataObject) -> None:
    """Changed, cut and swapped bytes of every layout; most of what matters stands in the first 300."""
    raw = bytearray(data.draw(st.sampled_from([make() for make in LAYOUTS.values()])))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.one_of(st.integers(0, min(300, len(raw) - 1)), st.integers(0, len(raw) - 1)))
        raw[place] = data.draw(st.integers(0, 255))
    try:
        x_HWC = DECODE(bytes(raw[: data.draw(st.integers(1, len(raw)))]))
    except InvalidExample:
        return
    assert (x_HWC.dtype.name, x_HWC.shape[2]) == ("float32", 4)
    assert np.isfinite(x_HWC).all()


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_behind_the_signature_are_refused(tail: bytes) -> None:
    with pytest.raises(InvalidExample):
        DECODE(b"II*\0" + tail)


def band_files(names: tuple[str, ...] = BANDS) -> list[tuple[str, bytes]]:
    """A file per band, in another order than the decoder's."""
    return [(f"plot_3_{name}.tif", encode_bands(SAMPLES_CHW[[index]])) for index, name in enumerate(names)][::-1]


def test_files_of_bands_become_one() -> None:
    raw = DECODE.join(band_files())
    assert raw == encode_bands(SAMPLES_CHW)
    np.testing.assert_allclose(DECODE(raw), REFLECTANCE_HWC, atol=1e-7)
    assert DECODE.join([("all.tif", raw)]) == raw


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (band_files()[1:], "band nir missing; expected green, red, red_edge, nir."),
        (band_files()[2:], "band red_edge and band nir missing"),
        ([*band_files(), ("x_NIR.tif", b"")], "band nir is given twice"),
        (band_files(("green", "red", "swir", "nir")), "file 'plot_3_swir.tif' names no band"),
        ([*band_files()[:-1], ("g_green.tif", encode_bands(SAMPLES_CHW[:1, 1:]))], "band nir is 10×12 pixels and band"),
        ([*band_files()[:-1], ("green.tif", encode_bands(SAMPLES_CHW[:1] / 65535))], "uint16 in type and band green f"),
        ([*band_files()[:-1], ("green.tif", encode_bands(SAMPLES_CHW))], "band green: 4 bands given; expected 1 band."),
        ([*band_files()[:-1], ("green.tif", b"nothing")], "band green: a file of 7 bytes that is no TIFF given"),
    ],
)
def test_files_that_make_no_plot_are_refused(files: list[tuple[str, bytes]], sentence: str) -> None:
    with pytest.raises(InvalidExample) as refusal:
        DECODE.join(files)
    assert sentence in refusal.value.message


@pytest.mark.parametrize(
    ("name", "band", "rest"),
    [
        ("IMG_180620_0001_GRE.TIF", "green", "IMG_180620_0001"),
        ("IMG_180620_0001_REG.TIF", "red_edge", "IMG_180620_0001"),
        ("plot_0017_100kg_red_edge.tif", "red_edge", "plot_0017_100kg"),
        ("plot-17-rededge.tiff", "red_edge", "plot-17"),
        ("red_barn_3_NIR.tif", "nir", "red_barn_3"),
        ("green_plot_17.tif", "green", "_plot_17"),
        ("plot_17.tif", None, "plot_17"),
        ("redder_17.tif", None, "redder_17"),
    ],
)
def test_the_name_tells_band_and_plot(name: str, band: str | None, rest: str) -> None:
    assert split_band(name, BANDS) == (band, rest)


def test_plain_numbers_enter_as_reflectance() -> None:
    np.testing.assert_array_equal(DECODE.from_array(REFLECTANCE_HWC.tolist()), REFLECTANCE_HWC)
    for values, sentence in (
        ([[1, 2], [3]], "rows of different lengths"),
        ([[1.0]], "1×1 values given; expected numbers, height×width×4"),
        ("text", "no values given"),
        (np.full((2, 2, 4), np.inf), "4 of 4 pixels of band green are NaN or infinite"),
        (np.zeros((2001, 2000, 4), np.float32), "2000×2001 pixels"),
    ):
        with pytest.raises(InvalidExample, match=sentence):
            DECODE.from_array(values)


def test_a_made_up_example_is_like_a_real_one() -> None:
    raw = DECODE.simulate((HEIGHT, WIDTH, 4), np.random.default_rng(1))
    x_HWC = DECODE(raw)
    assert x_HWC.shape == (HEIGHT, WIDTH, 4)
    assert 0 < x_HWC.min() < x_HWC.max() < 0.6
    assert raw == DECODE.simulate((HEIGHT, WIDTH, 4), np.random.default_rng(1))


def test_counting_needs_no_names() -> None:
    assert count_bands(pages(SAMPLES_CHW)) == 4
    assert count_bands(encode_bands(SAMPLES_CHW[:3])) == 3
    with pytest.raises(InvalidExample):
        count_bands(b"II*\0")


def test_resizing_keeps_means_and_type() -> None:
    resize = ResizeBands(height=6, width=5)
    x_HWC = resize(REFLECTANCE_HWC.astype(np.float32))
    assert (x_HWC.shape, x_HWC.dtype.name) == ((6, 5, 4), "float32")
    np.testing.assert_allclose(x_HWC.mean(axis=(0, 1)), REFLECTANCE_HWC.mean(axis=(0, 1)), atol=0.02)
    assert ResizeBands(height=HEIGHT, width=WIDTH)(x_same := REFLECTANCE_HWC.astype(np.float32)) is x_same
    with pytest.raises(ConfigError, match="resize_bands takes pictures"):
        resize.output_shape((3,))


def test_normalizing_is_per_band() -> None:
    normalize = NormalizeBands(mean=(0.1, 0.2, 0.3, 0.4), std=(1.0, 2.0, 3.0, 4.0))
    x_NCHW = normalize(REFLECTANCE_HWC.astype(np.float32)[np.newaxis])
    assert x_NCHW.shape == (1, 4, HEIGHT, WIDTH)
    np.testing.assert_allclose(x_NCHW[0, 3], (REFLECTANCE_HWC[..., 3] - 0.4) / 4, atol=1e-6)
    with pytest.raises(ConfigError, match="4 means for 3 bands"):
        normalize.output_shape((8, 8, 3))
    for wrong in ({"mean": (0.0,), "std": (1.0, 1.0)}, {"mean": (0.0,), "std": (0.0,)}):
        with pytest.raises(ValueError, match=r"means but|greater than 0"):
            NormalizeBands(**wrong)


def test_the_logarithm_turns_factors_into_sums() -> None:
    logarithm = LogBands(mean=(0.1, 0.2, 0.3, 0.4), floor=1e-6)
    x_NHWC = REFLECTANCE_HWC.astype(np.float32)[np.newaxis]
    twice_NCHW = logarithm(2 * x_NHWC) - logarithm(x_NHWC)
    np.testing.assert_allclose(twice_NCHW[x_NHWC.transpose(0, 3, 1, 2) > 0.01], np.log(2), atol=1e-3)
    assert logarithm(np.full((1, 2, 2, 4), 0.3, np.float32))[0, 2] == pytest.approx(0, abs=1e-6)
    assert np.isfinite(logarithm(np.full((1, 2, 2, 4), -0.1, np.float32))).all()
    assert logarithm.output_shape((8, 6, 4)) == (4, 8, 6)
    with pytest.raises(ConfigError, match="log_bands has 4 means for 3 bands"):
        logarithm.output_shape((8, 8, 3))


def test_the_three_steps_make_a_pipeline() -> None:
    pipeline = build_pipeline(
        [
            TransformStep(name="decode_bands", params={"bands": list(BANDS)}),
            TransformStep(name="resize_bands", params={"height": 8, "width": 6}),
            TransformStep(name="normalize_bands", params={"mean": [0.0] * 4, "std": [1.0] * 4}),
        ]
    )
    assert (pipeline.shape, pipeline.input_shape) == ((8, 6, 4), (4, 8, 6))
    x_NCHW = pipeline.collate(np.stack([pipeline.decode(encode_bands(SAMPLES_CHW))]))
    assert x_NCHW.shape == (1, 4, 8, 6)
