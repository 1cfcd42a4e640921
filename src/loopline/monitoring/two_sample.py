"""Two-sample tests that hold for any distribution and any size, and the correction for making several of them.

All of them ask what the difference would be if the examples had been dealt to reference and window by chance, so they
need no more than examples that are independent of each other.

Sources: Székely and Rizzo, Energy statistics, 2013; Hodges, The significance probability of the Smirnov two-sample
test, 1958; Freeman and Halton, Note on an exact treatment of contingency, 1951; Phipson and Smyth, Permutation p-values
should never be zero, 2010; Holm, A simple sequentially rejective multiple test procedure, 1979 (weights included).

N examples (R of the reference, C current), D embedding, P components, K classes, B permutations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NUM_COMPONENTS = 32
# Pairwise distances grow with the square of the sample; beyond this a random part of it says as much.
_MAX_ENERGY_SAMPLE = 500
# The exact distribution of the largest gap takes R·C steps; beyond this its limit is as good, within a few per cent.
_MAX_EXACT_PATHS = 20_000_000
_PERMUTATIONS_AT_ONCE = 256
_EPSILON = 1e-12

Floats = NDArray[np.floating[Any]]


class Difference(NamedTuple):
    """What a test found: its statistic, its p, and an effect from 0 to 1 that says how large the difference is."""

    statistic: float
    p: float
    effect: float


def principal_components(reference_RD: Floats, current_CD: Floats) -> tuple[Floats, Floats]:
    """Both samples on the leading principal components of the two together, each in units of its spread.

    Of the two together, because axes that were fitted to the reference alone fit it better than anything that comes
    later: with many dimensions every window would look different (measured: 60 of 60 unchanged windows of 1,000 in 512
    equal dimensions). Axes that do not know which example is whose keep the tests exact.
    """
    from scipy.linalg import eigh

    pooled_ND = np.concatenate([reference_RD, current_CD]).astype(np.float64)
    pooled_ND -= pooled_ND.mean(axis=0)
    num_dims = pooled_ND.shape[1]
    num_kept = min(NUM_COMPONENTS, num_dims)
    covariance_DD = pooled_ND.T @ pooled_ND / len(pooled_ND)
    variance_P, axes_DP = eigh(covariance_DD, subset_by_index=(num_dims - num_kept, num_dims - 1))
    # Below a thousandth of the largest spread lie dead features and the rounding of float32.
    alive_P = variance_P > max(variance_P[-1] * 1e-6, _EPSILON)
    variance_P, axes_DP = variance_P[alive_P][::-1], axes_DP[:, alive_P][:, ::-1]
    components_NP: Floats = pooled_ND @ axes_DP / np.sqrt(variance_P)
    return components_NP[: len(reference_RD)], components_NP[len(reference_RD) :]


def gap_test(reference_R: Floats, current_C: Floats) -> Difference:
    """Kolmogorov and Smirnov: the largest gap between the two distribution functions, which is its effect too."""
    from scipy.stats import ks_2samp

    exact = len(reference_R) * len(current_C) <= _MAX_EXACT_PATHS
    result = ks_2samp(reference_R, current_C, method="exact" if exact else "asymp")
    gap = float(result.statistic)
    return Difference(gap, float(np.clip(result.pvalue, 0.0, 1.0)), gap)


def energy_test(
    reference_RD: Floats, current_CD: Floats, *, num_permutations: int, rng: np.random.Generator
) -> Difference:
    """Energy distance: 2 E|X−Y| − E|X−X'| − E|Y−Y'|, which is 0 for equal distributions alone.

    The effect is its share of 2 E|X−Y|. The p is that of random permutations; of more than 500 examples of either
    sample a random 500 are compared.
    """
    x_RD, y_CD = (_subsample(x_ND, rng) for x_ND in (reference_RD, current_CD))
    distance_NN = _distances(np.concatenate([x_RD, y_CD]).astype(np.float64))
    num_reference, num_all = len(x_RD), len(distance_NN)
    # One column per permutation, +1/R for the reference's members and −1/C for the others: the energy distance is
    # −wᵀ D w, so that many permutations are one matrix product.
    weights_N = np.where(np.arange(num_all) < num_reference, 1 / num_reference, -1 / (num_all - num_reference))
    observed = -float(weights_N @ distance_NN @ weights_N)
    num_as_large = 0
    for start in range(0, num_permutations, _PERMUTATIONS_AT_ONCE):
        size = min(_PERMUTATIONS_AT_ONCE, num_permutations - start)
        weights_NB = rng.permuted(np.tile(weights_N, (size, 1)), axis=1).T
        energies_B = -np.einsum("nb,nb->b", weights_NB, distance_NN @ weights_NB)
        num_as_large += int((energies_B >= observed - _EPSILON).sum())
    across = 2 * float(distance_NN[:num_reference, num_reference:].mean())
    effect = float(np.clip(observed / max(across, _EPSILON), 0.0, 1.0))
    return Difference(observed, (1 + num_as_large) / (1 + num_permutations), effect)


def label_test(counts_2K: NDArray[np.int64], *, num_permutations: int, rng: np.random.Generator) -> Difference:
    """Chi-squared of two rows of label counts (reference, window), right for rare labels too: its p is permutations'.

    The effect is the total variation: the share of the window's labels that would have to be others.
    """
    counts_2K = counts_2K[:, counts_2K.sum(axis=0) > 0]
    totals_K, num_current = counts_2K.sum(axis=0), int(counts_2K[1].sum())
    expected_K = totals_K * (num_current / totals_K.sum())
    observed = float(_chi_squared(counts_2K[1][np.newaxis], expected_K, totals_K)[0])
    # Who shuffles the pooled labels draws the window's counts without replacement.
    drawn_BK = rng.multivariate_hypergeometric(totals_K, num_current, size=num_permutations, method="marginals")
    num_as_large = int((_chi_squared(drawn_BK, expected_K, totals_K) >= observed - 1e-9).sum())
    shares_2K = counts_2K / counts_2K.sum(axis=1, keepdims=True)
    variation = float(np.abs(shares_2K[0] - shares_2K[1]).sum() / 2)
    return Difference(observed, (1 + num_as_large) / (1 + num_permutations), variation)


def holm(p_values: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """Holm's corrected p values, in the given order: calling those at or below α bounds the chance of any false call.

    A test of twice the weight (default: all 1) gets twice the share of α. The bound holds however the tests depend on
    each other.
    """
    weight_T = np.ones(len(p_values)) if weights is None else np.asarray(weights, dtype=np.float64)
    weighted_T = np.asarray(p_values) / weight_T
    order_T = np.argsort(weighted_T, kind="stable")
    # The smallest must withstand all tests, the next those that are left.
    left_T = np.cumsum(weight_T[order_T][::-1])[::-1]
    corrected_T = np.empty(len(p_values))
    corrected_T[order_T] = np.minimum(np.maximum.accumulate(weighted_T[order_T] * left_T), 1.0)
    return [float(value) for value in corrected_T]


def _chi_squared(current_BK: NDArray[np.int64], expected_K: Floats, totals_K: NDArray[np.int64]) -> Floats:
    # Both rows deviate by the same counts, so the sum over the two rows needs only the window's.
    variance_K = expected_K * (totals_K - expected_K) / totals_K
    statistic_B: Floats = ((current_BK - expected_K) ** 2 / np.maximum(variance_K, _EPSILON)).sum(axis=1)
    return statistic_B


def _subsample(x_ND: Floats, rng: np.random.Generator) -> Floats:
    if len(x_ND) <= _MAX_ENERGY_SAMPLE:
        return x_ND
    chosen: Floats = x_ND[rng.choice(len(x_ND), _MAX_ENERGY_SAMPLE, replace=False)]
    return chosen


def _distances(x_ND: Floats) -> Floats:
    # Around the mean, so that the squares that cancel below are no larger than they must be.
    x_ND = x_ND - x_ND.mean(axis=0)
    squares_N = (x_ND**2).sum(axis=1)
    distances: Floats = np.sqrt(np.maximum(squares_N[:, np.newaxis] + squares_N - 2 * x_ND @ x_ND.T, 0.0))
    # Rounding would leave a point a small distance from itself.
    np.fill_diagonal(distances, 0.0)
    return distances
