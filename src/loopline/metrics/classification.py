"""How good probabilities are, and how sure that figure is.

Shapes: N examples, K classes, B calibration bins. `labels_N` and `predicted_N` are int64 in [0, K), `probabilities_NK`
are floats whose rows sum to 1, `correct_N` is boolean, `weights_N` says how often each example counts.

Sources. Calibration error: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017. Brier
score: Brier, Verification of Forecasts Expressed in Terms of Probability, 1950.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.records import CalibrationBin, ClassRow, Metric
from loopline.metrics.resampling import INTERVAL, NUM_RESAMPLES, resampled_metrics

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

NUM_BINS = 15
TOP_K = 5

# Probabilities come out of the graph as float32: below its resolution 0 and 1 are not known to be exact, so a certain
# and wrong answer costs 15.9 nats instead of infinity.
_SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)
_LOWER_IS_BETTER = frozenset({"log_loss", "brier", "ece"})


def check_predictions(labels_N: NDArray[Any], probabilities_NK: NDArray[Any], *, num_classes: int) -> None:
    """Raises `InputError` unless labels and probabilities fit each other and are labels and probabilities."""
    if probabilities_NK.ndim != 2 or probabilities_NK.shape != (len(labels_N), num_classes) or labels_N.ndim != 1:
        raise InputError(
            f"{labels_N.shape} labels and {probabilities_NK.shape} probabilities were given; expected (N,) and "
            f"(N, {num_classes}): one row per example, one column per label name."
        )
    if len(labels_N) == 0:
        raise InputError("there is no example; expected at least one.")
    if not np.issubdtype(labels_N.dtype, np.integer):
        raise InputError(f"labels are {labels_N.dtype}; expected integers, each the index of a label name.")
    unknown = np.flatnonzero((labels_N < 0) | (labels_N >= num_classes))
    if len(unknown):
        raise InputError(
            f"example {unknown[0]} has label {labels_N[unknown[0]]}; expected 0 to {num_classes - 1} "
            f"({len(unknown)} of {len(labels_N)} are outside)."
        )
    if not np.isfinite(probabilities_NK).all():
        raise InputError("the probabilities hold NaN or infinity; expected numbers from 0 to 1.")
    sums_N = probabilities_NK.sum(axis=1, dtype=np.float64)
    wrong = np.flatnonzero((np.abs(sums_N - 1) > 1e-3) | (probabilities_NK < -1e-6).any(axis=1))
    if len(wrong):
        raise InputError(
            f"the probabilities of example {wrong[0]} sum to {sums_N[wrong[0]]:.4g} with a least of "
            f"{probabilities_NK[wrong[0]].min():.3g}; expected a sum of 1 and none below 0. Are these logits?"
        )


def classification_metrics(
    labels_N: NDArray[Any],
    probabilities_NK: NDArray[Any],
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> dict[str, Metric]:
    """Accuracy, macro precision, recall and F1, log loss, Brier score, ECE and, above five classes, top-5 accuracy.

    Each has a 95% percentile bootstrap interval: `num_resamples` times N examples are drawn with replacement, every
    metric is computed of the same draw. Macro figures average over the classes that stand among the labels or the
    predictions of the draw, as scikit-learn does. Raises `InputError` for what `check_predictions` refuses.
    """
    check_predictions(labels_N, probabilities_NK, num_classes=probabilities_NK.shape[-1])
    judged = _JudgedExamples(labels_N, probabilities_NK)
    values, resampled = resampled_metrics(judged.metrics, len(labels_N), seed=seed, num_resamples=num_resamples)
    return {name: _with_interval(name, value, resampled[name]) for name, value in values.items()}


def confusion_matrix(
    labels_N: NDArray[Any], predicted_N: NDArray[Any], *, num_classes: int, weights_N: FloatArray | None = None
) -> FloatArray:
    """Counts (K, K): row is the true label, column the predicted one."""
    cells_N = labels_N.astype(np.int64) * num_classes + predicted_N
    counts = np.bincount(cells_N, weights=weights_N, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.float64)


def class_scores(confusion_KK: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Precision, recall and F1 of each class, shape (K,) each, 0 where undefined."""
    hits_K = np.diagonal(confusion_KK)
    predicted_K, labelled_K = confusion_KK.sum(axis=0), confusion_KK.sum(axis=1)
    return (
        _ratio(hits_K, predicted_K),
        _ratio(hits_K, labelled_K),
        _ratio(2 * hits_K, predicted_K + labelled_K),
    )


def class_table(confusion_KK: FloatArray, label_names: Sequence[str]) -> tuple[ClassRow, ...]:
    """One row per class, in the order of the label names."""
    precision_K, recall_K, f1_K = class_scores(confusion_KK)
    return tuple(
        ClassRow(
            label=label,
            precision=float(precision_K[k]),
            recall=float(recall_K[k]),
            f1=float(f1_K[k]),
            num_examples=int(confusion_KK[k].sum()),
        )
        for k, label in enumerate(label_names)
    )


def top_k_hits(labels_N: NDArray[Any], probabilities_NK: NDArray[Any], k: int) -> BoolArray:
    """True where the label is among the k most probable classes; of equals the lower index goes first, as in argmax."""
    label_N1 = probabilities_NK[np.arange(len(labels_N)), labels_N][:, None]
    before_NK = np.arange(probabilities_NK.shape[1])[None, :] < labels_N[:, None]
    rank_N = ((probabilities_NK > label_N1) | ((probabilities_NK == label_N1) & before_NK)).sum(axis=1)
    hits: BoolArray = rank_N < k
    return hits


def calibration_bins(
    correct_N: NDArray[Any], confidence_N: NDArray[Any], *, num_bins: int = NUM_BINS
) -> tuple[CalibrationBin, ...]:
    """`num_bins` equal bins of confidence, each (low, high], with mean confidence and accuracy; 0 where it is empty."""
    count_B, confidence_B, correct_B = _bin_sums(correct_N, confidence_N, np.ones(len(correct_N)), num_bins)
    edges = np.linspace(0, 1, num_bins + 1)
    return tuple(
        CalibrationBin(
            low=float(edges[b]),
            high=float(edges[b + 1]),
            confidence=float(_ratio(confidence_B, count_B)[b]),
            accuracy=float(_ratio(correct_B, count_B)[b]),
            num_examples=int(count_B[b]),
        )
        for b in range(num_bins)
    )


class _JudgedExamples:
    """What each example contributes, computed once, so that a resample only adds up.

    Point estimates and resamples go through the same `metrics`, so an interval cannot be of another definition.
    """

    def __init__(self, labels_N: NDArray[Any], probabilities_NK: NDArray[Any]) -> None:
        self.num_classes = probabilities_NK.shape[1]
        predicted_N = probabilities_NK.argmax(axis=1)
        true_N = probabilities_NK[np.arange(len(labels_N)), labels_N].astype(np.float64)
        correct_N = (predicted_N == labels_N).astype(np.float64)
        # |p - onehot|² = |p|² - 2 p[label] + 1
        brier_N = np.square(probabilities_NK, dtype=np.float64).sum(axis=1) - 2 * true_N + 1
        self.means = {
            "accuracy": correct_N,
            "log_loss": -np.log(np.clip(true_N, _SMALLEST_PROBABILITY, 1.0)),
            "brier": brier_N,
        }
        if self.num_classes > TOP_K:
            self.means[f"top{TOP_K}_accuracy"] = top_k_hits(labels_N, probabilities_NK, TOP_K).astype(np.float64)
        self.correct_N = correct_N
        self.labels_N, self.predicted_N = labels_N, predicted_N
        self.confidence_N = probabilities_NK.max(axis=1).astype(np.float64)

    def metrics(self, weights_N: FloatArray) -> dict[str, float]:
        """Every metric of the examples, each counted `weights_N` times."""
        total = weights_N.sum()
        values = {name: float(weights_N @ column_N / total) for name, column_N in self.means.items()}
        confusion_KK = confusion_matrix(
            self.labels_N, self.predicted_N, num_classes=self.num_classes, weights_N=weights_N
        )
        present_K = (confusion_KK.sum(axis=0) + confusion_KK.sum(axis=1)) > 0
        for name, scores_K in zip(("precision", "recall", "f1"), class_scores(confusion_KK), strict=True):
            values[f"{name}_macro"] = float(scores_K[present_K].mean())
        _, confidence_B, correct_B = _bin_sums(self.correct_N, self.confidence_N, weights_N, NUM_BINS)
        values["ece"] = float(np.abs(confidence_B - correct_B).sum() / total)
        return values


def _with_interval(name: str, value: float, resampled: FloatArray) -> Metric:
    low, high = np.quantile(resampled, INTERVAL)
    if name == "ece":
        # A sum of absolute deviations grows with noise, and a resample holds the sample's noise twice: without taking
        # the bootstrap's own bias off, the interval of a well calibrated model lies above its value.
        bias = resampled.mean() - value
        low, high = max(low - bias, 0.0), max(high - bias, value)
    return Metric(value=value, low=float(low), high=float(high), higher_is_better=name not in _LOWER_IS_BETTER)


def _bin_sums(
    correct_N: NDArray[Any], confidence_N: NDArray[Any], weights_N: FloatArray, num_bins: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Per bin of confidence: weight, summed confidence, weight of the correct ones; shape (B,) each."""
    bins_N = np.clip(np.ceil(confidence_N * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    count_B, confidence_B, correct_B = (
        np.bincount(bins_N, weights=column_N, minlength=num_bins).astype(np.float64)
        for column_N in (weights_N, weights_N * confidence_N, weights_N * correct_N)
    )
    return count_B, confidence_B, correct_B


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.divide(above, below, out=np.zeros_like(below, dtype=np.float64), where=below > 0)
