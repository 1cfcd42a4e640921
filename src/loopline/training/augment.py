"""Augmentation as a function of (seed, epoch, place in the epoch): no state, so neither workers nor resumes change it.

What moves pixels by whole places is done for a batch at once, from a table of random numbers; what needs a picture's
own geometry or colours is done one by one with Pillow, each picture with a generator of its own.
N examples, H height, W width, C channels, R random numbers per example.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from loopline.core.errors import ConfigError
from loopline.core.records import Record
from loopline.training.trivial import trivial_augment
from loopline.transforms import Pipeline

# Columns of the random numbers.
_UP, _LEFT = range(2)
NUM_DRAWS = 2
# Bits of an example's side.
_MIRRORED, _UPSIDE_DOWN = 1, 2
# Stands for the epoch in what is drawn once for all epochs.
_EVERY_EPOCH = 1 << 63
# How much longer or higher than the picture a random crop may be.
_RATIO = 4 / 3
# Smallest and largest share that random erasing takes of the area, and the longest side as a multiple of the shorter.
_ERASED = (0.02, 1 / 3)
_ERASED_RATIO = 3.3


class Draws:
    """The random numbers of one epoch: a counter-based generator keyed by (seed, epoch), and one for each place."""

    def __init__(self, seed: int, epoch: int) -> None:
        self._key = [seed, epoch]

    def epoch(self) -> np.random.Generator:
        """For what is decided once an epoch."""
        return np.random.Generator(np.random.Philox(key=self._key))

    def place(self, place: int, kind: int = 1) -> np.random.Generator:
        """For one place of the epoch's order; `kind` from 1 on keeps uses apart."""
        # The upper half of the 256-bit counter: no sequence of draws ever runs into another's.
        return np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, place, kind]))


def sides(num_examples: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """(N,), from 0 to 3: from which side each example is seen in an epoch.

    The first side is drawn. Then bit 0 turns with every epoch and bit 1 with every second one, so that an example is
    seen from all sides equally often (Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024).
    """
    return Draws(seed, _EVERY_EPOCH).epoch().integers(4, size=num_examples) ^ (epoch % 4)


WindowPx = Annotated[int, Field(ge=1, le=4096)]


class AugmentConfig(Record):
    """What is done to training examples, never to others."""

    # Mirrors images left to right: half of them in the first epoch, then each in every second epoch.
    flip: bool = False
    # Turns them upside down as well, two epochs of four: for pictures from above.
    flip_vertical: bool = False
    # Moves every image by up to so many pixels each way, repeating its edge.
    shift_px: int = Field(default=0, ge=0, le=512)
    # Trains on a random window of so many pixels each way, instead of shifting: a network that ends in a mean over
    # places learns from it in a fraction of the time, and is used on whole pictures (Howard, DAWNBench, 2018). Several
    # sizes follow one another, each for its share of the window's epochs.
    window_px: WindowPx | tuple[WindowPx, ...] | None = None
    # In the first so many epochs only; None: in all.
    window_epochs: int | None = Field(default=None, ge=1)
    # Cuts a random rectangle of at least this share of the area (Szegedy et al., 2015).
    crop_area: float = Field(default=1.0, gt=0, le=1)
    # Height of the pictures that the network trains on; None takes the input's. Smaller ones are quicker, and make up
    # for crops showing things larger than they are later (Touvron et al., 2019).
    crop_px: int | None = Field(default=None, ge=8, le=4096)
    # One random change of colour or geometry, of random strength (Müller and Hutter, 2021).
    trivial: bool = False
    # Probability that a random rectangle is overwritten with noise (Zhong et al., 2020).
    erase: float = Field(default=0.0, ge=0, le=1)
    # Parameter of the beta distribution by which a batch is blended with itself in another order (Zhang et al., 2018).
    mixup: float = Field(default=0.0, ge=0)
    # The same for pasting a rectangle (Yun et al., 2019); with both, a coin decides for each batch.
    cutmix: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _sizes_have_epochs(self) -> Self:
        if isinstance(self.window_px, tuple) and (self.window_epochs or 0) < max(1, len(self.window_px)):
            raise ValueError(
                f"window_px has {len(self.window_px)} sizes in {self.window_epochs} window_epochs; "
                "expected one size or more, and an epoch for each"
            )
        return self

    @property
    def by_picture(self) -> bool:
        """Whether something is done that needs a generator for every picture."""
        return self.crop_area < 1 or self.crop_px is not None or self.trivial or self.erase > 0

    def refuse_unfit(self, pipeline: Pipeline) -> None:
        """Raises `ConfigError` for examples that it cannot change."""
        pixels = not pipeline.decoder.is_ragged and len(pipeline.shape) == 3
        if self.by_picture and not (pixels and pipeline.dtype == np.uint8 and pipeline.shape[2] in (1, 3)):
            raise ConfigError("data.augment crops, recolours or erases; expected pictures of 8 bits, grey or RGB.")
        moves = self.flip or self.flip_vertical or self.shift_px or self.window_px
        if not pixels and (moves or self.mixup or self.cutmix):
            raise ConfigError("data.augment flips, shifts or mixes; expected pictures or other (height, width) arrays.")
        if self.window_px is not None and max(self._windows) > min(size := pipeline.input_shape[-2:]):
            raise ConfigError(
                f"data.augment.window_px={max(self._windows)} given; the pictures have {size[0]}×{size[1]} pixels."
            )

    @property
    def _windows(self) -> tuple[int, ...]:
        return self.window_px if isinstance(self.window_px, tuple) else (self.window_px,) if self.window_px else ()

    def window_at(self, epoch: int) -> int | None:
        """The pixels each way of an epoch's windows, None where it sees whole pictures."""
        sizes, num_epochs = self._windows, self.window_epochs
        if not sizes or num_epochs is None:
            return sizes[0] if sizes else None
        return sizes[epoch * len(sizes) // num_epochs] if epoch < num_epochs else None

    def apply(
        self, x_NHWC: NDArray[Any], draws_NR: NDArray[np.float64], *, sides_N: NDArray[np.int64], epoch: int
    ) -> NDArray[Any]:
        """Flipped, shifted and windowed images; `draws_NR` are uniform in [0, 1), one row per example."""
        size = self.window_at(epoch)
        if not (self.flip or self.flip_vertical or self.shift_px or size):
            return x_NHWC
        _, height, width, _ = x_NHWC.shape
        places = partial(_window, size) if size else self._shifted
        rows_NH = places(height, draws_NR[:, _UP])
        columns_NW = places(width, draws_NR[:, _LEFT])
        if self.flip:
            mirrored_N = (sides_N & _MIRRORED) > 0
            columns_NW[mirrored_N] = columns_NW[mirrored_N, ::-1]
        if self.flip_vertical:
            turned_N = (sides_N & _UPSIDE_DOWN) > 0
            rows_NH[turned_N] = rows_NH[turned_N, ::-1]
        example_N = np.arange(len(x_NHWC))
        return x_NHWC[example_N[:, None, None], rows_NH[:, :, None], columns_NW[:, None, :]]

    def change(self, x_HWC: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        """One picture, cropped, recoloured and erased as configured."""
        height, width, num_channels = x_HWC.shape
        picture = Image.fromarray(x_HWC[:, :, 0] if num_channels == 1 else x_HWC)
        if self.crop_area < 1 or self.crop_px is not None:
            out_height = self.crop_px or height
            size = (round(out_height * width / height), out_height)
            picture = picture.resize(size, Image.Resampling.BILINEAR, box=self._crop(height, width, random))
        if self.trivial:
            picture = trivial_augment(picture, random)
        changed_HWC = np.array(picture, dtype=np.uint8).reshape(picture.height, picture.width, num_channels)
        if random.random() < self.erase:
            _erase(changed_HWC, random)
        return changed_HWC

    def _crop(self, height: int, width: int, random: np.random.Generator) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of a random rectangle, in pixels and fractions of them."""
        area = random.uniform(self.crop_area, 1)
        ratio = math.exp(random.uniform(-math.log(_RATIO), math.log(_RATIO)))
        crop_width, crop_height = min(1, math.sqrt(area * ratio)) * width, min(1, math.sqrt(area / ratio)) * height
        left, top = random.random() * (width - crop_width), random.random() * (height - crop_height)
        # Rounding must not lead out of the picture.
        return left, top, min(left + crop_width, width), min(top + crop_height, height)

    def _shifted(self, length: int, draws_N: NDArray[np.float64]) -> NDArray[np.int64]:
        """For each example and each place along an axis: the place that its pixel comes from."""
        shift_N = np.floor(draws_N * (2 * self.shift_px + 1)).astype(np.int64) - self.shift_px
        places: NDArray[np.int64] = np.clip(np.arange(length) + shift_N[:, None], 0, length - 1)
        return places

    def mix(self, x_NCHW: NDArray[np.float32], random: np.random.Generator) -> tuple[NDArray[np.float32], float]:
        """A batch mixed with itself, moved on by one example, and the share that each kept of itself.

        Example n is mixed with example n − 1; the order of a batch is random as it is.
        """
        cut = self.cutmix > 0 and (self.mixup == 0 or random.random() < 0.5)
        kept = float(random.beta(alpha := self.cutmix if cut else self.mixup, alpha))
        others_NCHW = np.roll(x_NCHW, 1, axis=0)
        if not cut:
            return np.float32(kept) * x_NCHW + np.float32(1 - kept) * others_NCHW, kept
        height, width = x_NCHW.shape[2:]
        top, bottom = _span(height, math.sqrt(1 - kept), random.random())
        left, right = _span(width, math.sqrt(1 - kept), random.random())
        mixed_NCHW = x_NCHW.copy()
        mixed_NCHW[:, :, top:bottom, left:right] = others_NCHW[:, :, top:bottom, left:right]
        return mixed_NCHW, 1 - (bottom - top) * (right - left) / (height * width)


def _window(size: int, length: int, draws_N: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each example, the places of a random stretch of so many along an axis."""
    start_N = np.floor(draws_N * (length - size + 1)).astype(np.int64)
    return np.arange(size) + start_N[:, None]


def _span(length: int, share: float, draw: float) -> tuple[int, int]:
    """First and last place, exclusive, of a stretch around a random middle; cut off at the ends."""
    half, middle = share * length / 2, draw * length
    return max(0, round(middle - half)), min(length, round(middle + half))


def _erase(x_HWC: NDArray[np.uint8], random: np.random.Generator) -> None:
    height, width, num_channels = x_HWC.shape
    area = random.uniform(*_ERASED)
    ratio = math.exp(random.uniform(-math.log(_ERASED_RATIO), math.log(_ERASED_RATIO)))
    rows = max(1, min(height, round(height * math.sqrt(area * ratio))))
    columns = max(1, min(width, round(width * math.sqrt(area / ratio))))
    top, left = int(random.integers(height - rows + 1)), int(random.integers(width - columns + 1))
    noise = random.integers(0, 256, size=(rows, columns, num_channels), dtype=np.uint8)
    x_HWC[top : top + rows, left : left + columns] = noise
