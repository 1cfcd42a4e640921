"""What a challenger and a champion are compared by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from loopline.core.errors import GateRefused
from loopline.evaluation import JudgedSubject, check_comparable, compare_predictions
from loopline.predictor import Predicted

SUBJECT = JudgedSubject("bundle", "b", "regression", unit="kg")


def outputs(*columns: NDArray[np.floating]) -> Predicted:
    """Outputs named as labels or as a value, whichever fits their number."""
    outputs_NK = np.stack(columns, axis=1).astype(np.float32)
    return Predicted(("value",) if len(columns) == 1 else ("a", "b"), outputs_NK, outputs_NK)


def test_labels_are_compared_by_who_is_right() -> None:
    """The difference is that of the accuracies."""
    labels_N = np.zeros(400, dtype=np.int64)
    right_N, wrong_N = np.full(400, 0.9), np.where(np.arange(400) < 40, 0.1, 0.9)
    verdict = compare_predictions(
        labels_N, outputs(wrong_N, 1 - wrong_N), outputs(right_N, 1 - right_N), task="classification"
    )
    assert (verdict.metric, verdict.num_lost) == ("accuracy", 40)
    assert verdict.difference == pytest.approx(-0.1)
    assert verdict.verdict == "worse"


def test_values_are_compared_by_how_far_off_they_are() -> None:
    """The difference is a share of the champion's mean error."""
    targets_N = np.linspace(0, 300, 400).astype(np.float32)
    near, far = outputs(targets_N + 8), outputs(targets_N - 10)
    verdict = compare_predictions(targets_N, near, far, task="regression")
    assert verdict.metric == "mae"
    assert verdict.difference == pytest.approx(0.2, abs=1e-4)
    assert verdict.not_worse
    assert compare_predictions(targets_N, far, near, task="regression").verdict == "worse"


def test_texts_are_compared_by_chrf() -> None:
    """The difference is in points of the sentences' chrF."""
    references = np.array(["Ein Hund läuft durch das Gras."] * 400, dtype=object)
    nothing = np.zeros((400, 1), np.float32)
    good, bad = (
        Predicted(("n",), nothing, nothing, (text,) * 400)
        for text in ("Ein Hund läuft durch das Gras.", "Ein Hund im Gras.")
    )
    verdict = compare_predictions(references, bad, good, task="translation")
    assert verdict.metric == "chrf"
    assert verdict.difference < -10
    assert verdict.verdict == "worse"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "translation"}, "different tasks"),
        ({"label_names": ("a",)}, "different labels"),
        ({"unit": "g"}, "different units"),
    ],
)
def test_answers_to_different_questions_are_not_compared(change: dict[str, Any], words: str) -> None:
    """Task, labels and unit must be one."""
    check_comparable(SUBJECT, SUBJECT)
    with pytest.raises(GateRefused, match=words):
        check_comparable(SUBJECT, replace(SUBJECT, **change))
