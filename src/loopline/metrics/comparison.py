"""Is one model not worse than another? Both judged on the same examples. N examples.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8, with one pseudo-pair each way after
Bonett and Price, Adjusted Wald intervals for a difference of paired binomial proportions, 2012.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.records import PairedComparison
from loopline.metrics.resampling import INTERVAL

# What `promote` allows a challenger to lose: one point of accuracy as a share of the examples, one point of chrF, and a
# twentieth of the champion's mean absolute error, which is what some hundred examples can tell: the standard error of a
# mean absolute error is 0.75/√N of it where errors are normal, 4% of 400.
DEFAULT_MARGIN = 0.01
CHRF_MARGIN = 1.0
ERROR_MARGIN = 0.05
# Draws times examples that are in memory together.
_DRAWS_AT_ONCE = 2_000_000


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


def paired_errors(
    challenger_N: NDArray[Any],
    champion_N: NDArray[Any],
    *,
    seed: int = 0,
    num_resamples: int = 10_000,
    margin: float = ERROR_MARGIN,
) -> PairedComparison:
    """Compares two models by their absolute errors on the same N examples; pairs are resampled.

    The difference is the share of the champion's mean absolute error that the challenger saves; the ratio is taken of
    each resample, so that the interval knows how uncertain the champion's error is too. Two pseudo-pairs join, one on
    which the challenger errs by twice the champion's mean and one on which it does not err: few examples prove
    nothing. Raises `InputError` as `paired_bootstrap` does, and for a champion that never errs.
    """
    challenger_N, champion_N = _checked(challenger_N, champion_N)
    mean = float(champion_N.mean())
    if mean == 0:
        raise InputError("the champion's mean absolute error is 0: no error can be measured against it.")
    pairs_M2 = np.stack([np.append(challenger_N, [0.0, 2 * mean]), np.append(champion_N, [mean, mean])], axis=1)
    drawn_B2 = _resampled_means(pairs_M2, seed=seed, num_resamples=num_resamples)
    # A champion that erred on none of a draw's examples: any error is a loss beyond every margin.
    differences_B = 1 - drawn_B2[:, 0] / np.maximum(drawn_B2[:, 1], 1e-9 * mean)
    difference = 1 - float(challenger_N.mean()) / mean
    won, lost = int((challenger_N < champion_N).sum()), int((challenger_N > champion_N).sum())
    return _verdict("mae", difference, differences_B, margin=margin, counts=(len(champion_N), won, lost))


def paired_chrf(
    challenger_N: NDArray[Any],
    champion_N: NDArray[Any],
    *,
    seed: int = 0,
    num_resamples: int = 10_000,
    margin: float = CHRF_MARGIN,
) -> PairedComparison:
    """Compares two models by the chrF of each of N sentences, 0 to 100; the difference is of the means.

    One pseudo-pair each way joins, as in `paired_bootstrap`. Raises `InputError` as that does.
    """
    challenger_N, champion_N = _checked(challenger_N, champion_N)
    gains_M1 = np.append(challenger_N - champion_N, [100.0, -100.0])[:, np.newaxis]
    differences_B = _resampled_means(gains_M1, seed=seed, num_resamples=num_resamples)[:, 0]
    won, lost = int((challenger_N > champion_N).sum()), int((challenger_N < champion_N).sum())
    difference = float((challenger_N - champion_N).mean())
    return _verdict("chrf", difference, differences_B, margin=margin, counts=(len(champion_N), won, lost))


def independent_difference(
    challenger_M: NDArray[Any], champion_N: NDArray[Any], *, seed: int = 0, num_resamples: int = 10_000
) -> tuple[float, float, float]:
    """The mean score of M examples minus that of N others, with its 95% interval; each side is resampled alone.

    Its least and largest score join each side, as in `paired_bootstrap`: few examples prove nothing.
    """
    sides = [np.asarray(scores, dtype=np.float64) for scores in (challenger_M, champion_N)]
    ends = [min(side.min() for side in sides), max(side.max() for side in sides)]
    means_B = [
        _resampled_means(np.append(side, ends)[:, np.newaxis], seed=seed + index, num_resamples=num_resamples)[:, 0]
        for index, side in enumerate(sides)
    ]
    low, high = (float(end) for end in np.quantile(means_B[0] - means_B[1], INTERVAL))
    return float(sides[0].mean() - sides[1].mean()), low, high


def _checked(challenger_N: NDArray[Any], champion_N: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    challenger_N, champion_N = (np.asarray(scores_N, dtype=np.float64) for scores_N in (challenger_N, champion_N))
    if challenger_N.shape != champion_N.shape or challenger_N.ndim != 1 or len(challenger_N) == 0:
        raise InputError(
            f"a paired comparison was given {challenger_N.shape} and {champion_N.shape} scores; "
            "expected one per example, of the same examples in the same order, and at least one."
        )
    if not (np.isfinite(challenger_N).all() and np.isfinite(champion_N).all()):
        raise InputError("a paired comparison was given NaN or infinity; expected finite scores.")
    return challenger_N, champion_N


def _resampled_means(columns_MC: NDArray[np.float64], *, seed: int, num_resamples: int) -> NDArray[np.float64]:
    """The means of the columns in draws of as many rows with replacement, (num_resamples, C)."""
    rng = np.random.default_rng(seed)
    num_rows = len(columns_MC)
    at_once = max(1, _DRAWS_AT_ONCE // num_rows)
    parts = [
        columns_MC[rng.integers(0, num_rows, (min(at_once, num_resamples - start), num_rows))].mean(axis=1)
        for start in range(0, num_resamples, at_once)
    ]
    return np.concatenate(parts)


def _verdict(
    metric: Literal["mae", "chrf"],
    difference: float,
    differences_B: NDArray[np.float64],
    *,
    margin: float,
    counts: tuple[int, int, int],
) -> PairedComparison:
    if not margin >= 0:
        raise InputError(f"margin is {margin}; expected 0 or more.")
    low, high = (float(end) for end in np.quantile(differences_B, INTERVAL))
    num_examples, num_won, num_lost = counts
    return PairedComparison(
        metric=metric,
        difference=difference,
        low=low,
        high=high,
        margin=margin,
        p_worse=float((differences_B < 0).mean()),
        num_examples=num_examples,
        num_won=num_won,
        num_lost=num_lost,
        not_worse=low >= -margin,
    )
