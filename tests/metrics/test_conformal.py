"""The radius around a value: its rank, its promise, its limits."""

from __future__ import annotations

import numpy as np
import pytest

from loopline.core.errors import InputError
from loopline.metrics import conformal_radius


@pytest.mark.parametrize(("coverage", "rank"), [(0.9, 90), (0.5, 50), (0.07, 7), (0.99, 99), (0.905, 91)])
def test_the_radius_is_an_order_statistic(coverage: float, rank: int) -> None:
    """Of 99 errors, the ceil(100 · coverage)-th smallest, whatever their order."""
    errors_N = np.random.default_rng(0).permutation(np.arange(1.0, 100.0))
    assert conformal_radius(errors_N, coverage) == rank


def test_the_share_of_truths_is_the_promised_one() -> None:
    """Over many calibration sets, new examples lie inside as often as stated, though errors are skewed."""
    rng = np.random.default_rng(1)
    inside = [rng.exponential(size=50) <= conformal_radius(rng.exponential(size=60), 0.9) for _ in range(400)]
    share = float(np.mean(inside))
    # ceil(61 · 0.9) / 61 is exact in expectation; its spread over 400 sets is 0.002.
    assert share == pytest.approx(55 / 61, abs=0.01)


@pytest.mark.parametrize(
    ("errors", "coverage", "words"),
    [
        (np.ones(8), 0.9, "at least 9"),
        ([], 0.5, "at least 1"),
        (np.ones(30), 1.0, "between 0 and 1"),
        ([1.0, -1.0], 0.5, "none below 0"),
        ([1.0, np.nan], 0.5, "finite"),
        ([[1.0]], 0.5, "shape"),
    ],
)
def test_what_promises_nothing_is_refused(errors: object, coverage: float, words: str) -> None:
    """Too few examples, a coverage of everything, and errors that are none."""
    with pytest.raises(InputError, match=words):
        conformal_radius(np.asarray(errors), coverage)
