"""When do two sets of outputs count as the same? One measure, for parity at export and for every opening after it.

N examples, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Outputs = Mapping[str, NDArray[np.float32]]


def disagreement(actual: Outputs, expected: Outputs) -> float:
    """The largest |actual − expected| over all outputs, in units of max(1, the output's largest |expected|).

    Absolute for small outputs and relative for large ones, because logits of ±50 carry larger rounding errors. Infinity
    where shapes differ or a value is not finite, so that no comparison lets it pass.
    """
    return max(_disagreement(actual[name], expected[name]) for name in expected)


def num_changed_labels(actual_NK: NDArray[np.float32], expected_NK: NDArray[np.float32], *, tolerance: float) -> int:
    """How many examples change their likeliest class although the expected margin exceeds what `tolerance` allows.

    Two logits may each move by the tolerance, towards each other: below twice that, either label is right.
    """
    top_N2 = np.sort(expected_NK, axis=1)[:, -2:]
    margin_N = top_N2[:, -1] - top_N2[:, 0] if expected_NK.shape[1] > 1 else np.full(len(expected_NK), np.inf)
    clear_N = margin_N > 2 * tolerance * _scale(expected_NK)
    return int((clear_N & (actual_NK.argmax(axis=1) != expected_NK.argmax(axis=1))).sum())


def _disagreement(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    if actual.shape != expected.shape or not np.isfinite(actual).all() or not np.isfinite(expected).all():
        return float("inf")
    return float(np.abs(actual.astype(np.float64) - expected).max(initial=0.0) / _scale(expected))


def _scale(expected: NDArray[np.float32]) -> float:
    return max(1.0, float(np.abs(expected).max(initial=0.0)))
