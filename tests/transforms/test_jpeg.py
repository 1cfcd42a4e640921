"""The quick ways give the same pictures: JPEGs decoded straight into arrays and smaller, sizes with vector code."""

from __future__ import annotations

import io
import itertools
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from loopline.core.errors import InvalidExample, MissingExtra
from loopline.core.records import TransformStep
from loopline.transforms import build_pipeline, faster_steps, image_steps
from loopline.transforms import jpeg as jpeg_room
from loopline.transforms.image import DecodeImage, Resize
from loopline.transforms.jpeg import divisor_for

pytest.importorskip("simplejpeg")
pytest.importorskip("cykooz_resizer")


def smooth(height: int, width: int, num_channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """A picture with structure at several scales."""
    coarse = np.random.default_rng(seed).integers(0, 256, size=(9, 7, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image if num_channels == 3 else image.convert("L")).reshape(height, width, num_channels)


def jpeg(x_HWC: NDArray[np.uint8], *, orientation: int = 1, **options: Any) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(x_HWC[:, :, 0] if x_HWC.shape[2] == 1 else x_HWC).save(buffer, "JPEG", exif=exif, **options)
    return buffer.getvalue()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Decodes as on a machine without simplejpeg."""

    def decode(decoder: DecodeImage, raw: bytes) -> NDArray[np.uint8]:
        with monkeypatch.context() as patched:
            patched.setattr(jpeg_room, "_library", lambda: None)
            return decoder(raw)

    return decode


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(("subsampling", "progressive"), list(itertools.product([0, 1, 2], [False, True])))
@pytest.mark.parametrize("shrink_to", [None, (30, 20), (60, 60)])
def test_pixels_are_pillows(
    slow: Any, mode: Literal["L", "RGB"], subsampling: int, progressive: bool, shrink_to: tuple[int, int] | None
) -> None:
    """Grey and colour, every subsampling, odd sizes, whole and divided: both ways give the same bytes."""
    decoder = DecodeImage(mode=mode, shrink_to=shrink_to)
    for num_channels, (height, width), orientation in itertools.product((1, 3), ((121, 187), (240, 90)), (1, 6)):
        options = {} if num_channels == 1 else {"subsampling": subsampling}
        x_HWC = smooth(height, width, num_channels)
        raw = jpeg(x_HWC, orientation=orientation, progressive=progressive, quality=85, **options)
        np.testing.assert_array_equal(decoder(raw), slow(decoder, raw))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_divided_picture_is_the_picture(slow: Any, orientation: int) -> None:
    """Its size is that of the upright picture divided, its content the same, however the camera was held."""
    raw = jpeg(smooth(400, 250), orientation=orientation, quality=95)
    whole = DecodeImage(mode="RGB")(raw)
    height, width = whole.shape[:2]
    least = (height // 4, width // 4 - 3)
    small = DecodeImage(mode="RGB", shrink_to=least)(raw)
    assert small.shape == (-(-height // 4), -(-width // 4), 3)
    expected = Resize(height=small.shape[0], width=small.shape[1], resampling="box")(whole)
    assert np.abs(small.astype(int) - expected).mean() < 3
    np.testing.assert_array_equal(small, slow(DecodeImage(mode="RGB", shrink_to=least), raw))


@pytest.mark.parametrize(
    ("size", "least", "divisor"),
    [
        ((400, 533), None, 1),
        ((400, 533), (224, 224), 1),
        ((448, 533), (224, 224), 2),
        ((447, 533), (224, 224), 1),
        ((4000, 3000), (224, 224), 8),
        ((4000, 900), (224, 224), 4),
        ((16, 16), (1, 1), 8),
    ],
)
def test_divisors_leave_at_least_what_is_wanted(
    size: tuple[int, int], least: tuple[int, int] | None, divisor: int
) -> None:
    assert divisor_for(*size, least) == divisor


def test_what_the_quick_decoder_refuses_pillow_may_read(slow: Any) -> None:
    """Rubbish between two markers is overlooked, as ever; a file that is cut off is refused, as ever."""
    raw, decoder = jpeg(smooth(64, 48)), DecodeImage(mode="RGB")
    patched = raw[:-2] + b"rubbish" + raw[-2:]
    np.testing.assert_array_equal(decoder(patched), slow(decoder, patched))
    for length in (100, len(raw) // 2, len(raw) - 40):
        with pytest.raises(InvalidExample, match="the JPEG file is broken or truncated"):
            decoder(raw[:length])


@pytest.mark.parametrize(
    ("resampling", "most"), [("nearest", 6), ("box", 5), ("bilinear", 1), ("bicubic", 2), ("lanczos", 5)]
)
@pytest.mark.parametrize("fit", ["stretch", "cover"])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_vector_code_computes_the_same_filters(resampling: Any, most: int, fit: Any, num_channels: int) -> None:
    """Smaller and larger, grey and colour: what differs is how weights are rounded, a grey value here and there."""
    for height, width in ((533, 400), (60, 80), (300, 224)):
        x_HWC = smooth(height, width, num_channels)
        resize = Resize(height=224, width=160, fit=fit, resampling=resampling)
        expected = resize(x_HWC).astype(int)
        found = resize.model_copy(update={"kernel": "simd"})(x_HWC)
        assert found.shape == expected.shape
        assert found.dtype == np.uint8
        assert np.abs(found - expected).max() <= most
        assert np.abs(found - expected).mean() < 0.6


def test_faster_steps_choose_the_quick_ways() -> None:
    """Of pictures they say so in the steps; of other inputs they leave everything as it is."""
    steps = image_steps(height=32, width=48, mode="RGB", mean=[0.5] * 3, std=[0.5] * 3)
    faster = faster_steps(steps)
    assert faster[0].params == {**steps[0].params, "shrink_to": [32, 48]}
    assert faster[1].params == {**steps[1].params, "kernel": "simd"}
    assert faster[2] == steps[2]
    slow_pixels, fast_pixels = (build_pipeline(each).decode(jpeg(smooth(70, 99))) for each in (steps, faster))
    assert np.abs(slow_pixels.astype(int) - fast_pixels).mean() < 4
    others = (TransformStep(name="decode_values", params={"size": [3]}),)
    assert faster_steps(others) == others


def test_a_pipeline_says_which_way_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both choices stand in the steps, so a bundle carries them; what is missing is said when it is built."""
    steps = (
        TransformStep(name="decode_image", params={"mode": "RGB", "shrink_to": [64, 64]}),
        TransformStep(name="resize", params={"height": 64, "width": 64, "kernel": "simd"}),
    )
    pipeline = build_pipeline(steps)
    assert pipeline.steps[0].params["shrink_to"] == [64, 64]
    assert pipeline.steps[1].params["kernel"] == "simd"
    assert build_pipeline(pipeline.steps).steps == pipeline.steps
    raw = jpeg(smooth(512, 512))
    assert pipeline.decode(raw).shape == (64, 64, 3)
    monkeypatch.setitem(__import__("sys").modules, "cykooz_resizer", None)
    monkeypatch.delitem(__import__("sys").modules, "loopline.transforms.resampling")
    with pytest.raises(MissingExtra, match=r"pip install 'loopline\[fast\]'"):
        build_pipeline(steps)
