"""Looking at examples that are neither pictures nor texts: bands, rows of numbers, a project's own kind.

The decoder that training and serving will use decodes each example once; its last axis is that of the channels, as in
(height, width, channels), (time, channels) or (features,). C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loopline.core.errors import InvalidExample
from loopline.core.records import ChannelStatistics, TransformStep
from loopline.transforms import Decode
from loopline.transforms.pipeline import TRANSFORMS
from loopline.transforms.step import build_transform

# More channels than this are no channels but a place or a time, whose means nobody asked for.
_MAX_CHANNELS = 1024


@dataclass(frozen=True)
class ArrayFacts:
    """What is known about one decoded example: its axes, and per channel the sum of its values and of their squares."""

    shape: tuple[int, ...]
    sums_C: tuple[float, ...]
    squares_C: tuple[float, ...]


def look_at_array(raw: bytes, decode: TransformStep) -> ArrayFacts:
    """Decodes one example; raises `InvalidExample` for one that the decoder refuses or that holds NaN or infinity."""
    decoder = build_transform(TRANSFORMS, decode)
    if not isinstance(decoder, Decode):
        raise TypeError(f"'{decode.name}' is no decoder")
    x = decoder(raw)
    if not np.isfinite(x).all():
        raise InvalidExample(f"{int((~np.isfinite(x)).sum()):,} values are NaN or infinite.")
    if decoder.is_ragged or not x.ndim or x.shape[-1] > _MAX_CHANNELS:
        return ArrayFacts(x.shape, (), ())
    x_NC = x.reshape(-1, x.shape[-1]).astype(np.float64)
    return ArrayFacts(x.shape, tuple(x_NC.sum(axis=0).tolist()), tuple((x_NC**2).sum(axis=0).tolist()))


def shared_shape(facts: Sequence[ArrayFacts]) -> tuple[int, ...] | None:
    """The axes that all examples share; None where they differ."""
    shapes = {each.shape for each in facts}
    return shapes.pop() if len(shapes) == 1 else None


def array_statistics(facts: Sequence[ArrayFacts]) -> ChannelStatistics | None:
    """Mean and standard deviation per channel over all values, in the decoder's own units; None without channels.

    From sums that are rounded once, so that the order of the examples changes no digit.
    """
    num_channels = {len(each.sums_C) for each in facts}
    if num_channels in ({0}, set()) or len(num_channels) > 1:
        return None
    num_values = sum(math.prod(each.shape[:-1]) for each in facts)
    channels = range(num_channels.pop())
    means = [math.fsum(each.sums_C[channel] for each in facts) / num_values for channel in channels]
    squares = [math.fsum(each.squares_C[channel] for each in facts) / num_values for channel in channels]
    # Rounding can take a constant channel a little below zero.
    stds = [math.sqrt(max(square - mean**2, 0.0)) for mean, square in zip(means, squares, strict=True)]
    return ChannelStatistics(mean=tuple(means), std=tuple(stds))
