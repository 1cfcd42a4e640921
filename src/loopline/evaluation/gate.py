"""Is a challenger not worse than a champion? What is compared depends on the task. N examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import GateRefused
from loopline.core.records import PairedComparison
from loopline.evaluation.judged import JudgedSubject
from loopline.evaluation.regression import predicted_columns
from loopline.metrics import paired_bootstrap, paired_chrf, paired_errors
from loopline.predictor import Predicted
from loopline.text_metrics import sentence_chrf


def check_comparable(challenger: JudgedSubject, champion: JudgedSubject) -> None:
    """Raises `GateRefused` unless both answer the same question: the same task, labels and unit."""
    differences = (
        ("are of different tasks", "other task", challenger.task != champion.task),
        ("know different labels", "other labels", challenger.label_names != champion.label_names),
        ("answer in different units", "other unit", challenger.unit != champion.unit),
    )
    for words, reason, differ in differences:
        if differ:
            raise GateRefused(
                f"challenger and champion {words} and cannot be compared.",
                next_command=f"loopline promote VERSION ALIAS --force '{reason}'",
            )


def compare_predictions(
    targets_N: NDArray[Any], challenger: Predicted, champion: Predicted, *, task: str
) -> PairedComparison:
    """Compares two models' predictions of the same N examples.

    Labels by who is right, values by how far they are off, texts by the chrF of each sentence: see `loopline.metrics`
    for the margins. Raises `InputError` for what these refuse.
    """
    return _COMPARISONS[task](targets_N, challenger, champion)


def _compare_labels(targets_N: NDArray[Any], challenger: Predicted, champion: Predicted) -> PairedComparison:
    correct = [each.outputs_NK.argmax(axis=1) == targets_N for each in (challenger, champion)]
    return paired_bootstrap(correct[0], correct[1])


def _compare_values(targets_N: NDArray[Any], challenger: Predicted, champion: Predicted) -> PairedComparison:
    targets_N = targets_N.astype(np.float64)
    errors = [np.abs(predicted_columns(each)["value"] - targets_N) for each in (challenger, champion)]
    return paired_errors(errors[0], errors[1])


def _compare_texts(targets_N: NDArray[Any], challenger: Predicted, champion: Predicted) -> PairedComparison:
    references = [str(text) for text in targets_N]
    scores = [sentence_chrf(list(each.texts), references) for each in (challenger, champion)]
    return paired_chrf(scores[0], scores[1])


_COMPARISONS = {"classification": _compare_labels, "regression": _compare_values, "translation": _compare_texts}
