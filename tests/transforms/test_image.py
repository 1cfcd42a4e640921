"""Decoding: every kind of picture comes out as documented, and everything else is refused with a sentence."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile

from loopline.core.errors import InvalidExample
from loopline.transforms.image import DecodeImage

GREY = DecodeImage(mode="L")
COLOUR = DecodeImage(mode="RGB")


def encode(image: Image.Image, file_format: str = "PNG", exif: Image.Exif | None = None) -> bytes:
    """The bytes of a file that holds the image."""
    buffer = io.BytesIO()
    if exif is None:
        image.save(buffer, file_format)
    else:
        image.save(buffer, file_format, exif=exif)
    return buffer.getvalue()


def noise(height: int = 6, width: int = 9, num_channels: int = 3) -> NDArray[np.uint8]:
    """Pixels that no filter or rotation leaves in place."""
    return np.random.default_rng(0).integers(0, 256, size=(height, width, num_channels), dtype=np.uint8)


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header claims a size and whose pixels are missing."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + bytes(4) + b"IDAT"
    )


@pytest.mark.parametrize("file_format", ["PNG", "WebP", "GIF", "BMP"])
def test_lossless_formats_keep_every_pixel(file_format: str) -> None:
    """A grey picture comes back exactly, from each format that loses nothing."""
    x_HWC = noise(num_channels=1)
    image = Image.fromarray(x_HWC[:, :, 0])
    buffer = io.BytesIO()
    (image.convert("RGB") if file_format == "WebP" else image).save(buffer, file_format, lossless=True)
    np.testing.assert_array_equal(GREY(buffer.getvalue()), x_HWC)


def test_jpeg_is_close_to_its_pixels() -> None:
    """A smooth JPEG comes back within what compression loses."""
    ramp_HWC = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (64, 64, 3))
    decoded = COLOUR(encode(Image.fromarray(np.ascontiguousarray(ramp_HWC)), "JPEG"))
    assert np.abs(decoded.astype(int) - ramp_HWC).max() <= 6


def test_transparency_is_laid_on_white() -> None:
    """Wholly transparent is white, half-transparent black is mid-grey, opaque keeps its colour; LA and palettes too."""
    rgba = Image.new("RGBA", (3, 1))
    rgba.putdata([(10, 20, 30, 0), (0, 0, 0, 128), (10, 20, 30, 255)])
    np.testing.assert_allclose(COLOUR(encode(rgba))[0], [[255] * 3, [127] * 3, [10, 20, 30]], atol=1)
    grey = Image.new("LA", (2, 1))
    grey.putdata([(7, 0), (7, 255)])
    assert GREY(encode(grey))[0, :, 0].tolist() == [255, 7]
    palette = Image.new("P", (2, 1))
    palette.putpalette([200, 0, 0, 0, 200, 0])
    palette.putdata([0, 1])
    palette.info["transparency"] = 0
    assert COLOUR(encode(palette))[0].tolist() == [[255, 255, 255], [0, 200, 0]]


def test_sixteen_bit_grey_keeps_its_high_byte() -> None:
    """16-bit grey is scaled, not clipped to white as Pillow's own conversion does."""
    x_HW = np.array([[0, 255, 256, 0x8000, 0xFFFF]], dtype=np.uint16)
    raw = encode(Image.fromarray(x_HW))
    assert GREY(raw)[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert COLOUR(raw)[0, :, 2].tolist() == [0, 0, 1, 128, 255]


def test_cmyk_palette_and_bilevel_become_colours() -> None:
    """Print colours, palettes and black-and-white arrive in the mode asked for."""
    red = COLOUR(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert red.shape == (8, 8, 3)
    assert red[4, 4, 0] > 200
    assert red[4, 4, 1] < 60
    palette = Image.new("RGB", (2, 2), (1, 2, 3)).quantize(4)
    assert COLOUR(encode(palette))[0, 0].tolist() == [1, 2, 3]
    assert GREY(encode(Image.new("1", (2, 2), 1)))[0, 0].tolist() == [255]


def test_colours_become_grey_by_luma() -> None:
    """Grey is 0.299 red + 0.587 green + 0.114 blue, also out of palettes and transparency."""
    x_HWC = noise()
    expected_HW = x_HWC @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(GREY(encode(Image.fromarray(x_HWC)))[:, :, 0], expected_HW, atol=1)
    rgba = Image.fromarray(x_HWC).convert("RGBA")
    np.testing.assert_allclose(GREY(encode(rgba))[:, :, 0], expected_HW, atol=1)


# How the stored picture must be turned to stand upright, written with NumPy instead of Pillow.
UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("file_format", ["PNG", "WebP"])
def test_exif_orientation_is_applied(orientation: int, file_format: str) -> None:
    """A picture taken with a turned camera stands upright, for all eight ways to hold one."""
    x_HWC = noise()
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(x_HWC).save(buffer, file_format, exif=exif, lossless=True)
    np.testing.assert_array_equal(COLOUR(buffer.getvalue()), UPRIGHT[orientation](x_HWC))


def test_exif_orientation_of_a_jpeg() -> None:
    """The same in the format that cameras write: a red left half lies on top after a clockwise turn."""
    x_HWC = np.zeros((32, 64, 3), np.uint8)
    x_HWC[:, :32, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = COLOUR(encode(Image.fromarray(x_HWC), "JPEG", exif=exif))
    assert upright.shape == (64, 32, 3)
    assert upright[4, 16, 0] > 200
    assert upright[60, 16, 0] < 60


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WebP", "GIF", "BMP"])
def test_truncated_files_are_refused(file_format: str) -> None:
    """A file cut anywhere in its first nine tenths is refused, never half a picture."""
    raw = encode(Image.fromarray(noise(64, 64)), file_format)
    for cut in range(0, len(raw) * 9 // 10, max(1, len(raw) // 97)):
        with pytest.raises(InvalidExample):
            COLOUR(raw[:cut])


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "an empty file given; expected PNG, JPEG, WebP, GIF or BMP."),
        (b"hello, world\n", "a file of 13 bytes that is no picture given; expected PNG, JPEG, WebP, GIF or BMP."),
        (bytes(5000), "a file of 5,000 bytes that is no picture given"),
        (b"\xff\xd8\xff but the rest is text", "the JPEG file is broken or truncated: "),
        (b"BM", "the BMP file is broken or truncated: "),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "that is no picture given"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "that is no picture given"),
    ],
)
def test_what_is_no_picture_is_refused(raw: bytes, sentence: str) -> None:
    """Nothing, text and renamed files end with a sentence that never repeats their bytes."""
    with pytest.raises(InvalidExample) as caught:
        GREY(raw)
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message


def test_a_bomb_is_refused_from_its_header() -> None:
    """12,000 × 12,000 pixels are refused in no memory, though the file is small and whole: none was decoded."""
    raw = encode(Image.new("1", (12_000, 12_000)))
    tracemalloc.start()
    with pytest.raises(InvalidExample, match=r"12000×12000 pixels; expected at most 50,000,000"):
        GREY(raw)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 10_000_000


@pytest.mark.parametrize(("width", "height"), [(12_000, 12_000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1)])
def test_a_header_that_claims_too_much_is_refused(width: int, height: int) -> None:
    """The limit looks at the header, without a warning of Pillow's and without its global limit."""
    with pytest.raises(InvalidExample, match="expected at most"):
        GREY(png_header(width, height))


def test_the_limit_is_the_one_that_was_set() -> None:
    """`max_pixels` admits exactly that many."""
    raw = encode(Image.new("L", (10, 10)))
    assert DecodeImage(mode="L", max_pixels=100)(raw).shape == (10, 10, 1)
    with pytest.raises(InvalidExample, match="10×10 pixels; expected at most 99 in all"):
        DecodeImage(mode="L", max_pixels=99)(raw)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WebP"])
def test_animations_are_refused(file_format: str) -> None:
    """Of several frames none is chosen silently."""
    frames = [Image.fromarray(noise()), Image.fromarray(255 - noise())]
    buffer = io.BytesIO()
    frames[0].save(buffer, file_format, save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidExample, match="several frames; expected a single picture"):
        COLOUR(buffer.getvalue())


def test_decoding_leaves_pillow_as_it_was() -> None:
    """No global switch of Pillow's is touched, whatever is decoded."""
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    COLOUR(encode(Image.fromarray(noise())))
    with pytest.raises(InvalidExample):
        COLOUR(png_header(12_000, 12_000))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_threads_decode_alike() -> None:
    """Eight threads that decode good and bad files at once give what one gives."""
    raws = [encode(Image.fromarray(noise(16 + index, 20)), "JPEG") for index in range(40)]
    expected = [COLOUR(raw) for raw in raws]

    def decode(index: int) -> NDArray[np.uint8]:
        with pytest.raises(InvalidExample):
            COLOUR(raws[index % 40][: 300 + index])
        return COLOUR(raws[index % 40])

    with ThreadPoolExecutor(8) as pool:
        for index, decoded in enumerate(pool.map(decode, range(200))):
            np.testing.assert_array_equal(decoded, expected[index % 40])


SEEDS = [
    encode(Image.fromarray(noise(12, 10)), file_format) for file_format in ("PNG", "JPEG", "WebP", "GIF", "BMP")
] + [encode(Image.fromarray(noise(12, 10)).convert(mode), "PNG") for mode in ("P", "RGBA", "LA", "1")]
MUTATION = st.tuples(st.integers(0, 10_000), st.sampled_from(["set", "cut", "insert"]), st.integers(0, 255))


@pytest.mark.filterwarnings("default")  # Pillow warns of broken EXIF blocks; whether it does is not at stake here.
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.sampled_from(SEEDS), mutations=st.lists(MUTATION, min_size=1, max_size=12))
def test_mutated_files_give_pixels_or_a_refusal(seed: bytes, mutations: list[tuple[int, str, int]]) -> None:
    """Whatever happens to a picture's bytes: an array of the right kind, or `InvalidExample`."""
    raw = bytearray(seed)
    for place, kind, value in mutations:
        index = place % max(1, len(raw))
        if kind == "set" and raw:
            raw[index] = value
        elif kind == "insert":
            raw.insert(index, value)
        else:
            del raw[index : index + 1 + value // 16]
    _decode_or_refuse(bytes(raw))


@settings(max_examples=200, deadline=None)
@given(start=st.sampled_from([seed[:20] for seed in SEEDS]), rest=st.binary(max_size=200))
def test_invented_files_give_pixels_or_a_refusal(start: bytes, rest: bytes) -> None:
    """The same for a true beginning with anything after it."""
    _decode_or_refuse(start + rest)


def _decode_or_refuse(raw: bytes) -> None:
    # A small limit: a mutated header may honestly claim forty million pixels, which decode, slowly.
    decoder = DecodeImage(mode="RGB", max_pixels=1_000_000)
    try:
        x_HWC = decoder(raw)
    except InvalidExample as error:
        assert error.message.endswith(".")  # noqa: PT017 - the sentence is what is promised
    else:
        assert x_HWC.dtype == np.uint8
        assert x_HWC.ndim == 3
        assert x_HWC.shape[2] == 3
