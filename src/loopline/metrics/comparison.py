"""Is one model not worse than another? Both judged on the same examples. N examples.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8, with one pseudo-pair each way after
Bonett and Price, Adjusted Wald intervals for a difference of paired binomial proportions, 2012.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.records import PairedComparison
from loopline.metrics.resampling import INTERVAL

# What `promote` allows a challenger to lose, as a share of the examples: one point of accuracy.
DEFAULT_MARGIN = 0.01


def paired_bootstrap(
    correct_challenger_N: NDArray[Any],
    correct_champion_N: NDArray[Any],
    *,
    seed: int = 0,
    num_resamples: int = 10_000,
    margin: float = DEFAULT_MARGIN,
) -> PairedComparison:
    """Compares two models by which of the same N examples each has right; pairs, not models, are resampled.

    Not worse means: the 95% interval of the difference of accuracies lies wholly above `-margin` (a test of
    non-inferiority). One won and one lost pseudo-pair join the resampling, because a bootstrap of few examples that
    both models have right would claim certainty: equal models need about 280 examples to pass at one point.
    Raises `InputError` where the two are not of one length, or empty, or the margin is not from 0 to 1.
    """
    challenger_N = np.asarray(correct_challenger_N, dtype=np.bool_)
    champion_N = np.asarray(correct_champion_N, dtype=np.bool_)
    if challenger_N.shape != champion_N.shape or challenger_N.ndim != 1 or len(challenger_N) == 0:
        raise InputError(
            f"a paired comparison was given {challenger_N.shape} and {champion_N.shape} outcomes; "
            "expected one per example, of the same examples in the same order, and at least one."
        )
    if not 0 <= margin < 1:
        raise InputError(f"margin is {margin}; expected a share from 0 to below 1, as 0.01 for one point of accuracy.")
    num_examples = len(challenger_N)
    num_won = int((challenger_N & ~champion_N).sum())
    num_lost = int((champion_N & ~challenger_N).sum())
    # Only won, lost and tied pairs matter, so a resample of the pairs is one multinomial draw of three counts.
    num_pairs = num_examples + 2
    shares = np.array([num_won + 1, num_lost + 1, num_examples - num_won - num_lost]) / num_pairs
    drawn = np.random.default_rng(seed).multinomial(num_pairs, shares, size=num_resamples)
    differences = (drawn[:, 0] - drawn[:, 1]) / num_pairs
    low, high = (float(end) for end in np.quantile(differences, INTERVAL))
    return PairedComparison(
        difference=(num_won - num_lost) / num_examples,
        low=low,
        high=high,
        margin=margin,
        p_worse=float((differences < 0).mean()),
        num_examples=num_examples,
        num_won=num_won,
        num_lost=num_lost,
        not_worse=low >= -margin,
    )
