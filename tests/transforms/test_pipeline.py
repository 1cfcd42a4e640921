"""Pipelines: built from stored steps or refused, and equal to a slow independent reading of what each step says."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from loopline.core.errors import ConfigError, InvalidExample, UnknownName
from loopline.core.records import TransformStep
from loopline.transforms import POSTPROCESSES, TRANSFORMS, build_pipeline, build_postprocess, image_steps
from loopline.transforms.image import CenterCrop, Normalize, Resize

STEPS = image_steps(height=28, width=28, mode="L", mean=[0.25], std=[0.5])


def step(name: str, **params: Any) -> TransformStep:
    """A step, as a configuration would write it."""
    return TransformStep(name=name, params=params)


def png(x: NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG file with these pixels."""
    buffer = io.BytesIO()
    Image.fromarray(x).save(buffer, "PNG")
    return buffer.getvalue()


def noise(*shape: int) -> NDArray[np.uint8]:
    """Pixels without structure."""
    return np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)


def test_steps_are_complete_and_survive_json() -> None:
    """The stored steps carry every default, and build the same pipeline after a trip through JSON."""
    assert STEPS[1].params == {
        "height": 28,
        "width": 28,
        "fit": "stretch",
        "resampling": "bilinear",
        "kernel": "pillow",
    }
    again = [TransformStep.model_validate_json(item.model_dump_json()) for item in STEPS]
    assert build_pipeline(again) == build_pipeline(STEPS)
    assert build_pipeline(STEPS).steps == STEPS
    assert [item.name for item in build_pipeline(STEPS).sample_steps] == ["decode_image", "resize"]
    assert [item.name for item in build_pipeline(STEPS).batch_steps] == ["normalize"]


def test_every_name_in_the_tables_resolves() -> None:
    """Each table holds import strings that exist."""
    from loopline.core.tables import resolve

    for table in (TRANSFORMS, POSTPROCESSES):
        for name in table:
            assert resolve(table, name, kind="transform").__doc__


@pytest.mark.parametrize(
    ("steps", "error", "sentence"),
    [
        ([], ConfigError, "steps none given; expected a decoder, then transforms of one example, then of a batch"),
        ([STEPS[0], STEPS[2]], ConfigError, "after decode_image examples differ in size"),
        ([STEPS[1], STEPS[0], STEPS[2]], ConfigError, "steps resize → decode_image → normalize given"),
        ([*STEPS, STEPS[2]], ConfigError, "normalize has 1 means for 28 channels"),
        ([*STEPS, STEPS[1]], ConfigError, "as in decode_image → resize → normalize"),
        ([step("decode_imge")], UnknownName, "Did you mean 'decode_image'?"),
        (
            [step("decode_image", mode="CMYK")],
            ConfigError,
            "decode_image.mode: 'CMYK' given; input should be 'L' or 'RGB'.",
        ),
        ([step("decode_image")], ConfigError, "key 'decode_image.mode' is missing."),
        (
            [step("resize", heigth=3, width=3)],
            ConfigError,
            "unknown key 'resize.heigth'; known here: fit, height, kernel, resampling, width",
        ),
        ([step("resize", heigth=3, width=3)], ConfigError, "Did you mean 'resize.height'?"),
        (
            [step("resize", height=0, width=3)],
            ConfigError,
            "resize.height: 0 given; input should be greater than or equal to 1",
        ),
        (
            [step("resize", height="28", width=3)],
            ConfigError,
            "resize.height: '28' given; input should be a valid integer",
        ),
        ([step("normalize", mean=[0.5], std=[0.0])], ConfigError, "every standard deviation must be greater than 0"),
        ([step("normalize", mean=[0.5], std=[1.0, 1.0])], ConfigError, "1 means but 2 standard deviations"),
        ([step("normalize", mean=[float("nan")], std=[1.0])], ConfigError, "finite number"),
        (
            [*STEPS[:2], step("normalize", mean=[0.0] * 3, std=[1.0] * 3)],
            ConfigError,
            "3 means for 1 channels; expected one each",
        ),
    ],
)
def test_wrong_steps_are_refused(steps: list[TransformStep], error: type[Exception], sentence: str) -> None:
    """A typing error, a wrong value, a wrong order or channels that disagree each say what was expected."""
    with pytest.raises(error) as caught:
        build_pipeline(steps)
    assert sentence in str(caught.value)


def triangle(length: int, target: int) -> NDArray[np.float64]:
    """The weights of bilinear resizing with anti-aliasing, one row per target pixel, straight from its definition."""
    scale = max(1.0, length / target)
    centres = (np.arange(target) + 0.5) * length / target
    weights: NDArray[np.float64] = np.maximum(0, 1 - np.abs((np.arange(length) + 0.5)[None] - centres[:, None]) / scale)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


@pytest.mark.parametrize(("height", "width"), [(28, 28), (17, 40), (5, 3), (200, 90)])
def test_resize_equals_its_definition(height: int, width: int) -> None:
    """Stretching, up and down, equals a sum over triangles written with matrices; Pillow rounds twice, hence 1."""
    x_HWC = noise(40, 31, 3)
    vertical, horizontal = triangle(40, height), triangle(31, width)
    expected = np.einsum("ih,hwc,jw->ijc", vertical, x_HWC, horizontal)
    np.testing.assert_allclose(Resize(height=height, width=width)(x_HWC), expected, atol=1.01)


def test_resize_covers_without_changing_the_ratio() -> None:
    """`cover` keeps the centre: a wide picture loses its sides, a tall one its top and bottom."""
    x_HWC = np.zeros((10, 30, 1), np.uint8)
    x_HWC[:, 10:20] = 200
    covered = Resize(height=5, width=5, fit="cover", resampling="box")(x_HWC)
    assert (covered == 200).all()
    assert (Resize(height=5, width=5, fit="cover", resampling="box")(x_HWC.transpose(1, 0, 2).copy()) == 200).all()
    stretched = Resize(height=5, width=5, resampling="box")(x_HWC)
    assert not (stretched == 200).all()


@pytest.mark.parametrize("resampling", ["nearest", "box", "bilinear", "bicubic", "lanczos"])
def test_every_filter_takes_effect(resampling: str) -> None:
    """Each filter gives other pixels than each other one."""
    x_HWC = noise(16, 16, 1)
    results = {
        name: Resize.model_validate({"height": 7, "width": 7, "resampling": name})(x_HWC).tobytes()
        for name in ("nearest", "box", "bilinear", "bicubic", "lanczos")
    }
    assert [name for name, pixels in results.items() if pixels == results[resampling]] == [resampling]


def test_center_crop_takes_the_middle() -> None:
    """The middle stays, an odd margin leaves its pixel below and right, and a smaller picture is refused."""
    x_HWC = np.arange(35, dtype=np.uint8).reshape(5, 7, 1)
    cropped = CenterCrop(height=2, width=4)(x_HWC)
    np.testing.assert_array_equal(cropped, x_HWC[1:3, 1:5])
    assert cropped.flags.c_contiguous
    with pytest.raises(InvalidExample, match="the picture is 7×5 pixels; expected at least 4×6"):
        CenterCrop(height=6, width=4)(x_HWC)


def test_normalize_equals_its_definition() -> None:
    """(x / 255 − mean) / std per channel in float64, one value at a time, to float32's precision; contiguous."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    x_NHWC = noise(2, 5, 4, 3)
    actual = Normalize(mean=mean, std=std)(x_NHWC)
    expected = np.empty((2, 3, 5, 4))
    for (example, row, column, channel), value in np.ndenumerate(x_NHWC):
        expected[example, channel, row, column] = (int(value) / 255 - mean[channel]) / std[channel]
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)
    assert actual.dtype == np.float32
    assert actual.flags.c_contiguous


def test_a_pipeline_decodes_to_one_shape() -> None:
    """Pictures of every size and mode come out as uint8 of `shape`, and a batch of them as float32 N, C, H, W."""
    pipeline = build_pipeline(
        [
            step("decode_image", mode="RGB"),
            step("resize", height=20, width=30),
            step("center_crop", height=16, width=24),
            step("normalize", mean=[0.5, 0.5, 0.5], std=[0.2, 0.2, 0.2]),
        ]
    )
    assert pipeline.shape == (16, 24, 3)
    decoded = [pipeline.decode(png(noise(*shape))) for shape in [(5, 5), (100, 3), (40, 40, 3), (7, 9, 4)]]
    assert {x.shape for x in decoded} == {(16, 24, 3)}
    x_NCHW = pipeline.collate(np.stack(decoded))
    assert x_NCHW.shape == (4, 3, 16, 24)
    assert x_NCHW.dtype == np.float32


def test_a_pipeline_travels_to_workers() -> None:
    """A pickled pipeline is the same pipeline."""
    pipeline = build_pipeline(STEPS)
    assert pickle.loads(pickle.dumps(pipeline)) == pipeline  # noqa: S301 - our own bytes, as worker processes send them


def test_from_array_equals_decode() -> None:
    """Pixels given as numbers, lists or floats without fractions pass the same geometry as the file that holds them."""
    x_HW = noise(10, 12)
    pipeline = build_pipeline(STEPS)
    expected = pipeline.decode(png(x_HW))
    for values in (x_HW, x_HW[:, :, None], x_HW.tolist(), x_HW.astype(float).tolist(), x_HW.astype(np.int64)):
        np.testing.assert_array_equal(pipeline.from_array(values), expected)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.zeros((4, 4, 3), np.uint8), "pixels of shape 4×4×3 given; expected height×width×1 or height×width."),
        ([1, 2, 3], "pixels of shape 3 given"),
        (7, "pixels of shape one number given"),
        ([[]], "pixels of shape 1×0×1 given"),
        ([[1, 2], [3]], "the rows of pixels differ in length"),
        ([["a", "b"]], "the pixels are not all numbers"),
        ([[None, 1]], "the pixels are not all numbers"),
        ([[True, False]], "the pixels are not all numbers"),
        ([[{}]], "the pixels are not all numbers"),
        ("text", "the pixels are not all numbers"),
        (None, "the pixels are not all numbers"),
        ([[10**30]], "the pixels are not all numbers"),
        ([[float("nan")]], "the pixels hold NaN or infinity"),
        ([[float("inf")]], "the pixels hold NaN or infinity"),
        ([[0.5]], "the pixels hold fractions"),
        ([[256]], "the pixels lie between 256 and 256; expected 0 to 255"),
        ([[-1, 0]], "the pixels lie between -1 and 0"),
        ([[1e300]], "the pixels lie between 1e+300"),
        (np.zeros((7100, 7100), np.uint8), "7100×7100 pixels; expected at most 50,000,000"),
    ],
)
def test_from_array_refuses(values: object, sentence: str) -> None:
    """Anything that is not a rectangle of whole numbers from 0 to 255 with the right channels ends with a sentence."""
    with pytest.raises(InvalidExample) as caught:
        build_pipeline(STEPS).from_array(values)
    assert sentence in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(values=JSON)
def test_any_json_gives_pixels_or_a_refusal(values: object) -> None:
    """Whatever a request body holds: an array of the pipeline's shape, or `InvalidExample`."""
    pipeline = build_pipeline(STEPS)
    try:
        assert pipeline.from_array(values).shape == (28, 28, 1)
    except InvalidExample as error:
        assert error.message.endswith(".")  # noqa: PT017 - the sentence is what is promised


def test_softmax_equals_its_definition() -> None:
    """exp(z / t) / Σ exp(z / t); rows sum to 1, large logits do not overflow, inputs stay as they were."""
    logits_NK = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0]], np.float32)
    outputs = {"logits": logits_NK}
    probability_NK = build_postprocess([step("softmax", temperature=2.0)])(outputs)["probability"]
    expected = np.exp(logits_NK[0] / 2) / np.exp(logits_NK[0] / 2).sum()
    np.testing.assert_allclose(probability_NK[0], expected, rtol=1e-6)
    np.testing.assert_allclose(probability_NK[1], [1, 0, 0], atol=1e-6)
    assert probability_NK.dtype == np.float32
    assert list(outputs) == ["logits"]


def test_postprocess_refuses_what_it_does_not_know() -> None:
    """Unknown names and parameters are errors after the graph, too."""
    with pytest.raises(UnknownName, match="Did you mean 'softmax'"):
        build_postprocess([step("sofmax")])
    with pytest.raises(ConfigError, match=r"unknown key 'softmax\.temprature'"):
        build_postprocess([step("softmax", temprature=2.0)])
    with pytest.raises(ConfigError, match=r"softmax\.temperature: 0\.0 given; input should be greater than 0"):
        build_postprocess([step("softmax", temperature=0.0)])
    assert build_postprocess([step("softmax")]).steps[0].params["temperature"] == 1.0
