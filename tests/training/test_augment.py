"""Augmentations do what they say, keep sizes and types, and are functions of (seed, epoch, place) alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from loopline.core.errors import ConfigError
from loopline.core.records import TransformStep
from loopline.training.augment import AugmentConfig, Draws
from loopline.training.trivial import OPERATIONS, trivial_augment
from loopline.transforms import build_pipeline, image_steps

# A ramp to the right in red, downwards in green, a bar in blue; (H, W, C).
RAMP_HWC = np.zeros((40, 48, 3), dtype=np.uint8)
RAMP_HWC[:, :, 0] = np.arange(48) * 5
RAMP_HWC[:, :, 1] = np.arange(40)[:, None] * 6
RAMP_HWC[10:30, 20:24, 2] = 200


def _random(place: int = 0) -> np.random.Generator:
    return Draws(seed=1, epoch=2).place(place)


@pytest.mark.parametrize(
    "config", [AugmentConfig(crop_area=0.3), AugmentConfig(trivial=True), AugmentConfig(erase=1), AugmentConfig()]
)
def test_a_change_is_made_again_and_keeps_the_shape(config: AugmentConfig) -> None:
    """Equal generators give equal pictures, other places others; the given array is not touched."""
    given = RAMP_HWC.copy()
    changed = [config.change(given, _random(place)) for place in range(8)]
    assert all(x.shape == RAMP_HWC.shape and x.dtype == np.uint8 for x in changed)
    assert all(np.array_equal(config.change(given, _random(place)), x) for place, x in enumerate(changed))
    assert np.array_equal(given, RAMP_HWC)
    assert config.by_picture is any(not np.array_equal(x, RAMP_HWC) for x in changed)


def test_random_crops_show_a_part_at_the_asked_size() -> None:
    """The ramps keep their direction and lose their ends; the size is `crop_px` in the picture's ratio."""
    spans = []
    for place in range(50):
        x_HWC = AugmentConfig(crop_area=0.25, crop_px=20).change(RAMP_HWC, _random(place)).astype(int)
        assert x_HWC.shape == (20, 24, 3)
        assert (np.diff(x_HWC[:, :, 0], axis=1) >= 0).all()
        assert (np.diff(x_HWC[:, :, 1], axis=0) >= 0).all()
        spans.append((x_HWC[0, -1, 0] - x_HWC[0, 0, 0]) / 235 * (x_HWC[-1, 0, 1] - x_HWC[0, 0, 1]) / 234)
    assert 0.15 < min(spans) < 0.35
    assert max(spans) > 0.8


def test_resizing_alone() -> None:
    """`crop_px` without `crop_area` shows the whole picture."""
    x_HWC = AugmentConfig(crop_px=20).change(RAMP_HWC, _random()).astype(int)
    assert x_HWC[0, 0, 0] < 10
    assert x_HWC[0, -1, 0] > 225


def test_erasing_takes_a_rectangle_with_its_probability() -> None:
    """Noise in a rectangle of the published sizes, as often as asked."""
    shares = []
    for place in range(300):
        x_HWC = AugmentConfig(erase=0.5).change(RAMP_HWC, _random(place))
        rows, columns = np.nonzero((x_HWC != RAMP_HWC).any(axis=2))
        if len(rows):
            shares.append((np.ptp(rows) + 1) * (np.ptp(columns) + 1) / (40 * 48))
    assert 110 < len(shares) < 190
    assert 0.01 < min(shares) < max(shares) < 0.36


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_operation_keeps_size_and_mode(name: str, mode: str) -> None:
    """At both ends and in the middle of its range; the stronger, the further from the picture, but for identity."""
    picture = Image.fromarray(RAMP_HWC).convert(mode)
    far = [OPERATIONS[name](picture, strength) for strength in (-1.0, 0.0, 1.0)]
    assert {(x.size, x.mode) for x in far} == {(picture.size, mode)}
    changed = any(np.asarray(x).tobytes() != np.asarray(picture).tobytes() for x in far)
    grey_has_no_colour = name == "color" and mode == "L"
    assert changed is not (name == "identity" or grey_has_no_colour)


def test_every_operation_is_drawn() -> None:
    """Fourteen operations, about as often each, of any strength: hundreds of different pictures."""
    picture = Image.fromarray(RAMP_HWC)
    results = {trivial_augment(picture, _random(place)).tobytes() for place in range(300)}
    assert 150 < len(results) < 290


def test_mixup_blends_a_batch_with_itself() -> None:
    """Example n keeps a share and takes the rest from example n − 1."""
    x_NCHW = np.random.default_rng(0).normal(size=(4, 3, 8, 6)).astype(np.float32)
    for place in range(20):
        mixed, kept = AugmentConfig(mixup=0.4).mix(x_NCHW, _random(place))
        assert mixed.dtype == np.float32
        assert np.allclose(mixed, kept * x_NCHW + (1 - kept) * np.roll(x_NCHW, 1, axis=0), atol=1e-6)


def test_cutmix_pastes_a_rectangle_and_counts_its_area() -> None:
    """What is kept is the share of pixels that stayed, whatever was drawn."""
    x_NCHW = np.arange(4, dtype=np.float32)[:, None, None, None] * np.ones((4, 3, 10, 8), dtype=np.float32)
    shares = []
    for place in range(40):
        mixed, kept = AugmentConfig(cutmix=1.0).mix(x_NCHW, _random(place))
        assert np.isclose((mixed == x_NCHW).mean(), kept)
        shares.append(kept)
    assert min(shares) < 0.3
    assert max(shares) > 0.8


def test_with_both_a_coin_decides() -> None:
    """Some batches are blended, some pasted."""
    x_NCHW = np.arange(4, dtype=np.float32)[:, None, None, None] * np.ones((4, 3, 10, 8), dtype=np.float32)
    mixed = [AugmentConfig(mixup=1.0, cutmix=1.0).mix(x_NCHW, _random(place))[0] for place in range(40)]
    pasted = sum(bool(np.isin(x, [0, 1, 2, 3]).all()) for x in mixed)
    assert 8 < pasted < 32


def test_what_does_not_fit_is_refused() -> None:
    """Pictures can be changed in every way, rows of numbers in none."""
    rows = build_pipeline(
        (
            TransformStep(name="decode_values", params={"size": [3]}),
            TransformStep(name="standardize", params={"mean": [0.0] * 3, "std": [1.0] * 3}),
        )
    )
    pictures = build_pipeline(image_steps(height=16, width=16, mode="L", mean=[0.5], std=[0.25]))
    for config in (AugmentConfig(flip=True), AugmentConfig(trivial=True), AugmentConfig(mixup=0.1)):
        config.refuse_unfit(pictures)
        with pytest.raises(ConfigError, match=r"data\.augment"):
            config.refuse_unfit(rows)
    AugmentConfig().refuse_unfit(rows)


def test_jpeg_pixels_survive_no_change() -> None:
    """With nothing asked for, a decoded photograph stays as it is."""
    buffer = io.BytesIO()
    Image.fromarray(RAMP_HWC).save(buffer, "JPEG")
    x_HWC = np.asarray(Image.open(buffer))
    assert np.array_equal(AugmentConfig().change(x_HWC, _random()), x_HWC)
