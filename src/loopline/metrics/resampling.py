"""How sure a figure is: the bootstrap that all metrics share. N examples, `weights_N` how often each one counts.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from loopline.core.progress import track

FloatArray = NDArray[np.float64]
# Every metric of examples of which each counts so many times; point estimates and resamples go through the same one, so
# that an interval cannot be of another definition.
WeightedMetrics = Callable[[FloatArray], dict[str, float]]

NUM_RESAMPLES = 1000
# The two ends of a 95% interval.
INTERVAL = (0.025, 0.975)
# One resample costs a draw and a count per example; above this many the job takes seconds and shows a bar.
_NUM_DRAWS_BEFORE_BAR = 50_000_000


def resampled_metrics(
    metrics: WeightedMetrics, num_examples: int, *, seed: int = 0, num_resamples: int = NUM_RESAMPLES
) -> tuple[dict[str, float], dict[str, FloatArray]]:
    """Every metric of the examples, and of `num_resamples` draws of as many examples with replacement.

    All metrics of a draw are of the same draw.
    """
    values = metrics(np.ones(num_examples))
    rng = np.random.default_rng(seed)
    draws: Iterable[int] = range(num_resamples)
    if num_examples * num_resamples > _NUM_DRAWS_BEFORE_BAR:
        draws = track(draws, "bootstrap", total=num_resamples)
    resampled: dict[str, list[float]] = {name: [] for name in values}
    for _ in draws:
        counts_N = np.bincount(rng.integers(0, num_examples, num_examples), minlength=num_examples)
        for name, value in metrics(counts_N.astype(np.float64)).items():
            resampled[name].append(value)
    return values, {name: np.asarray(column) for name, column in resampled.items()}
