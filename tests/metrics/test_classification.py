"""Metrics against scikit-learn and slow references; intervals against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.metrics import (
    calibration_bins,
    check_predictions,
    class_table,
    classification_metrics,
    confusion_matrix,
    top_k_hits,
)


def predictions(
    num_examples: int, num_classes: int = 7, *, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and probabilities that are often right."""
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(0, num_classes, num_examples)
    logits_NK = rng.normal(size=(num_examples, num_classes))
    logits_NK[np.arange(num_examples), labels_N] += 1.5
    exponents_NK = np.exp(logits_NK)
    return labels_N, exponents_NK / exponents_NK.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("num_classes", [2, 7, 30])
def test_metrics_equal_scikit_learns(num_classes: int) -> None:
    """Every metric that scikit-learn has is the same."""
    from sklearn import metrics as reference

    labels_N, probabilities_NK = predictions(500, num_classes)
    found = classification_metrics(labels_N, probabilities_NK, num_resamples=20)
    predicted_N = probabilities_NK.argmax(axis=1)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(
        labels_N, predicted_N, average="macro", zero_division=0
    )
    expected = {
        "accuracy": reference.accuracy_score(labels_N, predicted_N),
        "precision_macro": precision,
        "recall_macro": recall,
        "f1_macro": f1,
        "log_loss": reference.log_loss(labels_N, probabilities_NK, labels=range(num_classes)),
        "brier": np.square(probabilities_NK - np.eye(num_classes)[labels_N]).sum(axis=1).mean(),
    }
    if num_classes > 5:
        expected["top5_accuracy"] = reference.top_k_accuracy_score(
            labels_N, probabilities_NK, k=5, labels=range(num_classes)
        )
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value), name
    assert set(found) == {*expected, "ece"}


def test_calibration_error_equals_a_slow_one() -> None:
    """ECE and its bins, example by example."""
    labels_N, probabilities_NK = predictions(300)
    confidence_N, correct_N = probabilities_NK.max(axis=1), probabilities_NK.argmax(axis=1) == labels_N
    bins = calibration_bins(correct_N, confidence_N, num_bins=15)
    error = 0.0
    for index, found in enumerate(bins):
        inside = [i for i in range(300) if index / 15 < confidence_N[i] <= (index + 1) / 15]
        assert found.num_examples == len(inside)
        if inside:
            assert found.accuracy == pytest.approx(correct_N[inside].mean())
            error += len(inside) / 300 * abs(correct_N[inside].mean() - confidence_N[inside].mean())
    assert classification_metrics(labels_N, probabilities_NK, num_resamples=5)["ece"].value == pytest.approx(error)


def test_intervals_cover_the_truth() -> None:
    """About 95 of 100 intervals of accuracy hold the rate that the examples were drawn with."""
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(100):
        correct_N = rng.random(200) < 0.8
        labels_N = np.zeros(200, dtype=np.int64)
        probabilities_NK = np.where(correct_N[:, np.newaxis], [0.9, 0.1], [0.1, 0.9])
        found = classification_metrics(labels_N, probabilities_NK, seed=seed, num_resamples=200)["accuracy"]
        assert found.low <= found.value <= found.high
        covered += found.low <= 0.8 <= found.high
    assert 88 <= covered <= 100


def test_the_class_table_and_the_confusion_matrix() -> None:
    """Rows are true labels; precision, recall and F1 are 0 where nothing was predicted or labelled."""
    confusion_KK = confusion_matrix(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), num_classes=3)
    assert confusion_KK.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    rows = class_table(confusion_KK, ["a", "b", "c"])
    assert (rows[0].precision, rows[0].recall, rows[0].num_examples) == (1.0, 0.5, 2)
    assert rows[1].f1 == pytest.approx(0.8)
    assert (rows[2].precision, rows[2].recall, rows[2].f1) == (0.0, 0.0, 0.0)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_top_k_breaks_ties_by_index(seed: int) -> None:
    """Top-k agrees with a stable sort, ties included."""
    rng = np.random.default_rng(seed)
    probabilities_NK = rng.integers(0, 3, (20, 6)).astype(float)
    labels_N = rng.integers(0, 6, 20)
    order_NK = np.argsort(-probabilities_NK, axis=1, kind="stable")
    expected = [labels_N[i] in order_NK[i, :2] for i in range(20)]
    assert top_k_hits(labels_N, probabilities_NK, 2).tolist() == expected


@pytest.mark.parametrize(
    ("labels", "probabilities", "words"),
    [
        ([0, 1], [[0.5, 0.5]], "one row per example"),
        ([], np.zeros((0, 2)), "no example"),
        ([0.5], [[0.5, 0.5]], "integers"),
        ([2], [[0.5, 0.5]], "expected 0 to 1"),
        ([0], [[np.nan, 1.0]], "NaN"),
        ([0], [[3.0, -2.0]], "logits"),
        ([0], [[0.2, 0.2]], "sum to 0.4"),
    ],
)
def test_what_is_no_prediction_is_refused(labels: object, probabilities: object, words: str) -> None:
    """Shapes, kinds, ranges and sums are checked with a sentence."""
    with pytest.raises(InputError, match=words):
        check_predictions(np.asarray(labels), np.asarray(probabilities), num_classes=2)
