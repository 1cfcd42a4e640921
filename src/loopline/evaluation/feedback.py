"""Served predictions that got a truth through `/feedback`, as a split and its answers. M have one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.records import ModelBundle, Ratings
from loopline.core.store import digest_json
from loopline.evaluation.judged import JudgedSplit
from loopline.prediction_log import PredictionColumns
from loopline.predictor import Predicted

FEEDBACK_SPLIT = "feedback"
# A figure of fewer has an interval as wide as the question.
MIN_FEEDBACK = 10


def feedback_split(bundle: ModelBundle, rows: PredictionColumns) -> tuple[JudgedSplit, Predicted]:
    """The logged predictions of a bundle that have a truth, and those truths.

    Raises `InputError` where fewer than ten have one, or where a truth is none of the task's.
    """
    chosen_M = np.array([index for index, label in enumerate(rows.labels) if label is not None], dtype=np.int64)
    if len(chosen_M) < MIN_FEEDBACK:
        num_rated = sum(rating is not None for rating in rows.ratings)
        raise InputError(
            f"{len(chosen_M)} of {len(rows):,} logged predictions of bundle {bundle.digest[:12]} have a truth "
            f"({num_rated} are rated); expected at least {MIN_FEEDBACK}, given on the server's page or to /feedback.",
            next_command="loopline serve MODEL",
        )
    truths = [str(rows.labels[index]) for index in chosen_M]
    ids = [rows.request_ids[index] for index in chosen_M]
    split = JudgedSplit(
        dataset=bundle.dataset,
        name=FEEDBACK_SPLIT,
        digest=digest_json(sorted(zip(ids, truths, strict=True))),
        ids=ids,
        targets_N=targets_of(bundle, truths),
        input_kind=bundle.input_kind,
        confidential=bundle.reference.is_simulated,
        ratings=_ratings(rows),
    )
    texts = tuple(rows.predicted[index] for index in chosen_M) if bundle.task == "translation" else ()
    predicted = Predicted(rows.output_names, rows.outputs[chosen_M], rows.embeddings[chosen_M], texts)
    return split, predicted


def targets_of(bundle: ModelBundle, truths: list[str]) -> NDArray[np.int64] | NDArray[np.float32] | NDArray[np.object_]:
    """Truths as the log keeps them, texts, to targets of the bundle's task; raises `InputError` for others."""
    if bundle.task == "translation":
        return np.array(truths, dtype=object)
    try:
        if bundle.task == "regression":
            return np.array([float(truth) for truth in truths], dtype=np.float32)
        return np.array([bundle.label_names.index(truth) for truth in truths], dtype=np.int64)
    except ValueError as error:
        raise InputError(f"the prediction log holds a truth that is no {bundle.task} target: {error}.") from None


def _ratings(rows: PredictionColumns) -> Ratings | None:
    if not any(rows.ratings):
        return None
    return Ratings(num_up=rows.ratings.count("up"), num_down=rows.ratings.count("down"))
