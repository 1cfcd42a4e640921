"""Augmentation as a function of (seed, epoch, example): no state, so neither workers nor resumes change it.

N examples, H height, W width, C channels, R random numbers per example.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from loopline.core.records import Record

# Columns of the random numbers.
_FLIP, _UP, _LEFT = range(3)
NUM_DRAWS = 3


class AugmentConfig(Record):
    """What is done to training images, never to others."""

    # Mirrors half of the images left to right.
    flip: bool = False
    # Moves every image by up to so many pixels each way, repeating its edge.
    shift_px: int = Field(default=0, ge=0, le=512)

    def apply(self, x_NHWC: NDArray[Any], draws_NR: NDArray[np.float64]) -> NDArray[Any]:
        """The augmented images; `draws_NR` are uniform in [0, 1), one row per example."""
        if not self.flip and not self.shift_px:
            return x_NHWC
        _, height, width, _ = x_NHWC.shape
        rows_NH = self._places(height, draws_NR[:, _UP])
        columns_NW = self._places(width, draws_NR[:, _LEFT])
        if self.flip:
            mirrored = draws_NR[:, _FLIP] < 0.5
            columns_NW[mirrored] = columns_NW[mirrored, ::-1]
        example_N = np.arange(len(x_NHWC))
        return x_NHWC[example_N[:, None, None], rows_NH[:, :, None], columns_NW[:, None, :]]

    def _places(self, length: int, draws_N: NDArray[np.float64]) -> NDArray[np.int64]:
        """For each example and each place along an axis: the place that its pixel comes from."""
        shift_N = np.floor(draws_N * (2 * self.shift_px + 1)).astype(np.int64) - self.shift_px
        places: NDArray[np.int64] = np.clip(np.arange(length) + shift_N[:, None], 0, length - 1)
        return places
