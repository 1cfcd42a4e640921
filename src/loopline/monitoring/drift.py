"""Two-sample tests between a bundle's reference and a window of predictions, corrected for their number.

What is tested: the leading principal components of the embeddings, one by one (Kolmogorov and Smirnov) and together
(energy distance), the confidence (Kolmogorov and Smirnov) and the predicted labels (chi-squared). P values are the
asymptotic ones of Kolmogorov and Smirnov or come from permutations, and are corrected by Holm's method, so that the
chance of any false alarm per report is at most the stated rate. Beside its p every test states an effect that does not
grow with the number of examples; below a least effect nothing counts as drift.

Sources: Rabanser, Günnemann and Lipton, Failing Loudly, NeurIPS 2019 (univariate tests with correction on a reduced
representation); Székely and Rizzo, Energy statistics, 2013; Holm, A simple sequentially rejective multiple test
procedure, 1979; Phipson and Smyth, Permutation p-values should never be zero, 2010.

N examples, R reference, C current, D embedding, P components, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.records import DriftReport, DriftTest, utc_now

DEFAULT_FALSE_ALARM_RATE = 0.01
MIN_WINDOW = 30
NUM_COMPONENTS = 5
# In a large window a difference can be certain and still too small to act on: five examples in a hundred, a shift of
# about an eighth of a spread.
MINIMUM_SHARE_EFFECT = 0.05
MINIMUM_ENERGY_EFFECT = 0.002
# Pairwise distances grow with the square of the sample; beyond this a random part of it says as much.
_MAX_ENERGY_SAMPLE = 500
# The smallest p that permutations can give is 1/(1 + their number); after correction by 8 tests it must still alarm.
_PERMUTATIONS_PER_RATE = 20
_EPSILON = 1e-12

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class DriftSample:
    """Embeddings and probabilities of the same examples."""

    embedding_ND: NDArray[np.float32]
    probability_NK: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.embedding_ND)


@dataclass(frozen=True)
class DriftSubject:
    """Whose predictions are looked at, and from when to when (None: from the first, to the last)."""

    model: str
    bundle_digest: str
    reference_digest: str
    label_names: Sequence[str]
    window: tuple[datetime | None, datetime | None] = (None, None)


def detect_drift(
    reference: DriftSample,
    current: DriftSample,
    subject: DriftSubject,
    *,
    false_alarm_rate: float = DEFAULT_FALSE_ALARM_RATE,
    seed: int = 0,
) -> DriftReport:
    """Tests whether the window comes from the reference's distribution.

    `false_alarm_rate` bounds the chance that any of the tests fires where nothing changed. Raises `InputError` for a
    window of fewer than 30 predictions, for arrays that do not fit each other, and for a rate outside of 0.0001 to 0.5.
    """
    if not 1e-4 <= false_alarm_rate <= 0.5:
        raise InputError(f"false-alarm rate {false_alarm_rate} given; expected 0.0001 to 0.5.")
    _check(reference, current, subject)
    findings = _findings(reference, current, subject, false_alarm_rate=false_alarm_rate, seed=seed)
    corrected = holm([finding.p for finding in findings])
    tests = tuple(
        DriftTest(
            **asdict(finding),
            corrected_p=corrected_p,
            drifted=corrected_p <= false_alarm_rate and finding.effect >= finding.minimum_effect,
        )
        for finding, corrected_p in zip(findings, corrected, strict=True)
    )
    return DriftReport(
        model=subject.model,
        bundle_digest=subject.bundle_digest,
        reference_digest=subject.reference_digest,
        window_start=subject.window[0],
        window_end=subject.window[1],
        num_reference=len(reference),
        num_current=len(current),
        false_alarm_rate=false_alarm_rate,
        tests=tests,
        drifted=any(test.drifted for test in tests),
        created_at=utc_now(),
    )


@dataclass(frozen=True)
class _Finding:
    """What one test found, before the correction for their number."""

    feature: str
    method: str
    statistic: float
    p: float
    effect: float
    minimum_effect: float


def _findings(
    reference: DriftSample, current: DriftSample, subject: DriftSubject, *, false_alarm_rate: float, seed: int
) -> list[_Finding]:
    rng = np.random.default_rng(seed)
    num_permutations = int(np.ceil(_PERMUTATIONS_PER_RATE / false_alarm_rate))
    components_RP, components_CP = principal_components(reference.embedding_ND, current.embedding_ND)
    findings = [
        _ks(f"embedding PC {index + 1}", components_RP[:, index], components_CP[:, index])
        for index in range(components_RP.shape[1])
    ]
    energy, p, effect = energy_test(components_RP, components_CP, num_permutations=num_permutations, rng=rng)
    method = "energy distance, permutations"
    findings.append(_Finding("embedding, all PCs", method, energy, p, effect, MINIMUM_ENERGY_EFFECT))
    findings.append(_ks("confidence", reference.probability_NK.max(axis=1), current.probability_NK.max(axis=1)))
    counts_2K = np.stack([_label_counts(sample, len(subject.label_names)) for sample in (reference, current)])
    chi_squared, p, effect = label_test(counts_2K, num_permutations=num_permutations, rng=rng)
    method = "chi-squared, permutations"
    findings.append(_Finding("predicted labels", method, chi_squared, p, effect, MINIMUM_SHARE_EFFECT))
    return findings


def principal_components(reference_RD: Floats, current_CD: Floats) -> tuple[Floats, Floats]:
    """Both samples on the leading principal components of the reference alone, each in units of its spread there."""
    mean_D = reference_RD.mean(axis=0, dtype=np.float64)
    _, spread, axes = np.linalg.svd(reference_RD - mean_D, full_matrices=False)
    # A component without spread (a dead feature) would turn rounding into a signal.
    num_kept = min(NUM_COMPONENTS, int((spread > spread[0] * 1e-6 + _EPSILON).sum()))
    scale_P = spread[:num_kept] / np.sqrt(len(reference_RD))
    components_RP, components_CP = ((x - mean_D) @ axes[:num_kept].T / scale_P for x in (reference_RD, current_CD))
    return components_RP, components_CP


def energy_test(
    reference_RP: Floats, current_CP: Floats, *, num_permutations: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Energy distance of two samples, 2 E|X−Y| − E|X−X'| − E|Y−Y'|, its permutation p, and its share of 2 E|X−Y|."""
    x_RP, y_CP = (_subsample(x, rng) for x in (reference_RP, current_CP))
    pooled_NP = np.concatenate([x_RP, y_CP])
    distance_NN = np.sqrt(np.maximum(_squared_distances(pooled_NP), 0.0))
    num_reference, num_all = len(x_RP), len(pooled_NP)
    # One column per permutation, +1/R for the reference's members and −1/C for the others: the energy distance is
    # −wᵀ D w, so that all permutations are one matrix product.
    weights_N = np.where(np.arange(num_all) < num_reference, 1 / num_reference, -1 / (num_all - num_reference))
    observed = -float(weights_N @ distance_NN @ weights_N)
    num_as_large = 0
    for start in range(0, num_permutations, 256):
        size = min(256, num_permutations - start)
        weights_NB = rng.permuted(np.tile(weights_N, (size, 1)), axis=1).T
        energies_B = -np.einsum("nb,nb->b", weights_NB, distance_NN @ weights_NB)
        num_as_large += int((energies_B >= observed - _EPSILON).sum())
    across = 2 * float(distance_NN[:num_reference, num_reference:].mean())
    effect = float(np.clip(observed / max(across, _EPSILON), 0.0, 1.0))
    return observed, (1 + num_as_large) / (1 + num_permutations), effect


def label_test(
    counts_2K: NDArray[np.int64], *, num_permutations: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Chi-squared of two rows of label counts, its permutation p (right for rare labels too), and total variation."""
    counts_2K = counts_2K[:, counts_2K.sum(axis=0) > 0]
    totals_K, num_current = counts_2K.sum(axis=0), int(counts_2K[1].sum())
    expected_K = totals_K * (num_current / totals_K.sum())
    observed = float(_chi_squared(counts_2K[1][np.newaxis], expected_K, totals_K)[0])
    # Who shuffles the pooled labels draws the window's counts without replacement.
    drawn_BK = rng.multivariate_hypergeometric(totals_K, num_current, size=num_permutations, method="marginals")
    num_as_large = int((_chi_squared(drawn_BK, expected_K, totals_K) >= observed - 1e-9).sum())
    shares_2K = counts_2K / counts_2K.sum(axis=1, keepdims=True)
    variation = float(np.abs(shares_2K[0] - shares_2K[1]).sum() / 2)
    return observed, (1 + num_as_large) / (1 + num_permutations), variation


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p values, in the given order: at most α with any of them ≤ α bounds the family-wise error."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return [float(value) for value in corrected]


def _ks(feature: str, reference_R: Floats, current_C: Floats) -> _Finding:
    from scipy.stats import ks_2samp

    result = ks_2samp(reference_R, current_C, method="asymp")
    gap, p = float(result.statistic), float(np.clip(result.pvalue, 0.0, 1.0))
    # The statistic is an effect already: the largest gap between the two distribution functions.
    return _Finding(feature, "Kolmogorov–Smirnov", gap, p, gap, MINIMUM_SHARE_EFFECT)


def _chi_squared(current_BK: NDArray[np.int64], expected_K: Floats, totals_K: NDArray[np.int64]) -> Floats:
    # Both rows deviate by the same counts, so the sum over the two rows needs only the window's.
    variance_K = expected_K * (totals_K - expected_K) / totals_K
    statistic_B: Floats = ((current_BK - expected_K) ** 2 / np.maximum(variance_K, _EPSILON)).sum(axis=1)
    return statistic_B


def _label_counts(sample: DriftSample, num_labels: int) -> NDArray[np.int64]:
    return np.bincount(sample.probability_NK.argmax(axis=1), minlength=num_labels).astype(np.int64)


def _subsample(x_NP: Floats, rng: np.random.Generator) -> Floats:
    if len(x_NP) <= _MAX_ENERGY_SAMPLE:
        return x_NP
    chosen: Floats = x_NP[rng.choice(len(x_NP), _MAX_ENERGY_SAMPLE, replace=False)]
    return chosen


def _squared_distances(x_NP: Floats) -> Floats:
    squares_N = (x_NP**2).sum(axis=1)
    distances: Floats = squares_N[:, np.newaxis] + squares_N - 2 * x_NP @ x_NP.T
    return distances


def _check(reference: DriftSample, current: DriftSample, subject: DriftSubject) -> None:
    if len(current) < MIN_WINDOW:
        raise InputError(
            f"the window holds {len(current)} predictions; expected at least {MIN_WINDOW}.",
            next_command=f"loopline drift {subject.model} --since 7d",
        )
    for name, sample in (("reference", reference), ("window", current)):
        shapes = sample.embedding_ND.shape, sample.probability_NK.shape
        if len(shapes[0]) != 2 or shapes[1] != (len(sample), len(subject.label_names)):
            raise InputError(
                f"the {name} has embeddings {shapes[0]} and probabilities {shapes[1]}; "
                f"expected (N, D) and (N, {len(subject.label_names)})."
            )
        if not np.isfinite(sample.embedding_ND).all() or not np.isfinite(sample.probability_NK).all():
            raise InputError(f"the {name} holds NaN or infinity; expected finite numbers.")
    if reference.embedding_ND.shape[1] != current.embedding_ND.shape[1]:
        raise InputError(
            f"embeddings of {reference.embedding_ND.shape[1]} and {current.embedding_ND.shape[1]} numbers given; "
            "expected the same bundle's."
        )
