"""What pictures of bands need of training: their preprocess, and flips along both axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from loopline.core.errors import ConfigError
from loopline.core.records import ChannelStatistics, DatasetManifest, Shard, Split, utc_now
from loopline.training.augment import AugmentConfig
from loopline.training.inputs import BandsInput

DIGEST = "0" * 64


def manifest(**changes: Any) -> DatasetManifest:
    """A snapshot of plots of 160×106 pixels."""
    shard = Shard(path="x", digest=DIGEST, rows_digest=DIGEST, num_bytes=1, num_examples=1)
    return DatasetManifest(
        **{
            "name": "plots",
            "version": DIGEST,
            "task": "regression",
            "input_kind": "bands",
            "input_shape": (160, 106, 4),
            "splits": {"train": Split(num_examples=1, digest=DIGEST, shards=(shard,))},
            "statistics": ChannelStatistics(mean=(0.1, 0.2, 0.3, 0.4), std=(0.1, 0.0, 0.3, 0.4)),
            "source": "a test",
            "licence": "none",
            "created_at": utc_now(),
        }
        | changes
    )


@pytest.mark.parametrize(
    ("normalization", "name", "params"),
    [
        ("log", "log_bands", {"mean": [0.1, 0.2, 0.3, 0.4]}),
        # A constant band is left as it is.
        ("dataset", "normalize_bands", {"mean": [0.1, 0.2, 0.3, 0.4], "std": [0.1, 1.0, 0.3, 0.4]}),
        ("none", "normalize_bands", {"mean": [0.0] * 4, "std": [1.0] * 4}),
    ],
)
def test_each_normalization_is_a_step(normalization: Any, name: str, params: dict[str, Any]) -> None:
    decode, resize, last = BandsInput(normalization=normalization, max_saturated=0.2).steps(manifest())
    assert (decode.name, decode.params["max_saturated"]) == ("decode_bands", 0.2)
    assert resize.params == {"height": 160, "width": 106}
    assert (last.name, last.params) == (name, params)


def test_plots_of_several_sizes_need_one_given() -> None:
    with pytest.raises(ConfigError, match="plots of snapshot 'plots' differ in size"):
        BandsInput(height=32).steps(manifest(input_shape=None))
    steps = BandsInput(height=32, width=24).steps(manifest(input_shape=None))
    assert steps[1].params == {"height": 32, "width": 24}


def test_flips_along_both_axes_are_independent() -> None:
    """Of four examples, one for each side, each is turned another way."""
    x_NHWC = np.arange(4 * 3 * 2 * 1).reshape(4, 3, 2, 1)
    draws_NR, sides_N = np.full((4, 2), 0.5), np.array([3, 1, 2, 0])
    turned = AugmentConfig(flip=True, flip_vertical=True).apply(x_NHWC, draws_NR, sides_N=sides_N, epoch=0)
    expected = [x_NHWC[0, ::-1, ::-1], x_NHWC[1, :, ::-1], x_NHWC[2, ::-1], x_NHWC[3]]
    np.testing.assert_array_equal(turned, np.stack(expected))
    only = AugmentConfig(flip_vertical=True).apply(x_NHWC, draws_NR, sides_N=sides_N, epoch=0)
    np.testing.assert_array_equal(only, np.stack([x_NHWC[0, ::-1], x_NHWC[1], x_NHWC[2, ::-1], x_NHWC[3]]))
