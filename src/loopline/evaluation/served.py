"""Two models by what they answered to people: requests that both saw, and requests that one of them saw.

M rows have a truth, P requests were answered by both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.records import ModelBundle, PairedComparison, ServedComparison, ServedSide, Task
from loopline.evaluation.feedback import targets_of
from loopline.evaluation.gate import compare_predictions
from loopline.metrics import independent_difference
from loopline.prediction_log import PredictionColumns
from loopline.predictor import Predicted
from loopline.text_metrics import sentence_chrf

_METRICS: dict[Task, Literal["accuracy", "mae", "chrf"]] = {
    "classification": "accuracy",
    "regression": "mae",
    "translation": "chrf",
}


class Served(NamedTuple):
    """One model's rows of a window, all of one bundle."""

    model: str
    bundle: ModelBundle
    rows: PredictionColumns


def compare_served(champion: Served, challenger: Served) -> ServedComparison:
    """What the log knows of both.

    Raises `InputError` where one of them answered nothing in the window; the caller saw to it that both answer the
    same question.
    """
    for side in (champion, challenger):
        if not len(side.rows):
            raise InputError(
                f"the prediction log has no answer of {side.model} (bundle {side.bundle.digest[:12]}) in the window.",
                next_command=f"loopline serve {champion.model} --shadow {challenger.model}",
            )
    champion, challenger = _with_all_truths(champion, challenger)
    task = champion.bundle.task
    scores = [_scores(each) for each in (champion, challenger)]
    pairs = _pairs(champion.rows, challenger.rows)
    difference: tuple[float, float, float] | tuple[None, None, None] = (None, None, None)
    if all(len(each) for each in scores):
        difference = independent_difference(_gain(task, scores[1]), _gain(task, scores[0]))
    same = [champion.rows.predicted[ours] == challenger.rows.predicted[theirs] for ours, theirs in pairs]
    return ServedComparison(
        task=task,
        metric=_METRICS[task],
        champion=_side(champion, scores[0]),
        challenger=_side(challenger, scores[1]),
        num_pairs=len(pairs),
        agreement=float(np.mean(same)) if pairs else None,
        paired=_paired(champion, challenger, pairs),
        difference=difference[0],
        low=difference[1],
        high=difference[2],
    )


def _with_all_truths(champion: Served, challenger: Served) -> tuple[Served, Served]:
    """A truth is of a request: the other answer to it may have come into the log after the feedback."""
    truths = {
        request_id: label
        for side in (champion, challenger)
        for request_id, label in zip(side.rows.request_ids, side.rows.labels, strict=True)
        if label is not None
    }
    first, second = (
        side._replace(rows=replace(side.rows, labels=[truths.get(request_id) for request_id in side.rows.request_ids]))
        for side in (champion, challenger)
    )
    return first, second


def _scores(side: Served) -> NDArray[np.float64]:
    """Of the M rows with a truth: 1 for right and 0 for wrong, the absolute error, or chrF."""
    rows = side.rows
    chosen = [index for index, label in enumerate(rows.labels) if label is not None]
    truths = [str(rows.labels[index]) for index in chosen]
    if not chosen:
        return np.empty(0)
    if side.bundle.task == "translation":
        return np.asarray(sentence_chrf([rows.predicted[index] for index in chosen], truths), dtype=np.float64)
    targets_M = targets_of(side.bundle, truths)
    if side.bundle.task == "regression":
        errors_M: NDArray[np.float64] = np.abs(rows.outputs[chosen, 0].astype(np.float64) - targets_M)
        return errors_M
    return np.asarray(rows.outputs[chosen].argmax(axis=1) == targets_M, dtype=np.float64)


def _gain(task: Task, scores_M: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores that are better the higher they are."""
    return -scores_M if task == "regression" else scores_M


def _pairs(champion: PredictionColumns, challenger: PredictionColumns) -> list[tuple[int, int]]:
    """The places of the P requests that both answered; of an id that was used twice, its newest answers."""
    place = {request_id: index for index, request_id in enumerate(challenger.request_ids)}
    own = {request_id: index for index, request_id in enumerate(champion.request_ids)}
    return [(index, place[request_id]) for request_id, index in own.items() if request_id in place]


def _paired(champion: Served, challenger: Served, pairs: list[tuple[int, int]]) -> PairedComparison | None:
    """Both on the same requests, where a truth is known of any."""
    judged = [(ours, theirs) for ours, theirs in pairs if champion.rows.labels[ours] is not None]
    if not judged:
        return None
    truths = [str(champion.rows.labels[ours]) for ours, _ in judged]
    return compare_predictions(
        targets_of(champion.bundle, truths),
        _predicted(challenger, [theirs for _, theirs in judged]),
        _predicted(champion, [ours for ours, _ in judged]),
        task=champion.bundle.task,
    )


def _predicted(side: Served, chosen: list[int]) -> Predicted:
    rows = side.rows
    texts = tuple(rows.predicted[index] for index in chosen) if side.bundle.task == "translation" else ()
    return Predicted(rows.output_names, rows.outputs[chosen], rows.embeddings[chosen], texts)


def _side(side: Served, scores_M: NDArray[np.float64]) -> ServedSide:
    p50, p95 = np.quantile(side.rows.infer_ms, (0.5, 0.95))
    return ServedSide(
        model=side.model,
        bundle_digest=side.bundle.digest,
        num_answers=len(side.rows),
        num_labelled=len(scores_M),
        num_up=side.rows.ratings.count("up"),
        num_down=side.rows.ratings.count("down"),
        score=float(scores_M.mean()) if len(scores_M) else None,
        p50_infer_ms=float(p50),
        p95_infer_ms=float(p95),
    )
