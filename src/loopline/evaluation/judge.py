"""`evaluate_predictions`: from targets and predictions of any task to an `Evaluation`, its plots and its page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError, IntegrityError
from loopline.core.records import Evaluation, utc_now
from loopline.core.store import digest_bytes, read_record, replace_folder, write_bytes, write_record, write_text
from loopline.core.tables import resolve
from loopline.evaluation.judged import Judge, JudgedSplit, JudgedSubject
from loopline.evaluation.page import evaluation_page
from loopline.predictor import Predicted

RECORD_FILE = "evaluation.json"
PREDICTIONS_FILE = "predictions.npz"
PAGE_FILE = "evaluation.html"

JUDGES = {
    "classification": "loopline.evaluation.classification:ClassificationJudge",
    "regression": "loopline.evaluation.regression:RegressionJudge",
    "translation": "loopline.evaluation.translation:TranslationJudge",
}


def evaluate_predictions(
    subject: JudgedSubject, split: JudgedSplit, predicted: Predicted, *, output: Path, seed: int = 0
) -> Evaluation:
    """Judges predictions and writes `evaluation.json`, `predictions.npz`, plots and `evaluation.html` to `output`.

    Metrics carry 95% bootstrap intervals (`loopline.metrics`). The folder is replaced as a whole. Raises `InputError`
    where targets and predictions do not fit each other or are none.
    """
    if len(predicted) != len(split):
        raise InputError(f"{len(predicted)} predictions for {len(split)} targets were given; expected one each.")
    judge: Judge = resolve(JUDGES, subject.task, kind="judge")()
    judgement = judge.judge(subject, split, predicted, seed=seed)
    predictions = _pack(split.ids, judgement.arrays)
    evaluation = Evaluation(
        subject_kind=subject.kind,
        subject=subject.key,
        task=subject.task,
        dataset=split.dataset,
        split=split.name,
        split_digest=split.digest,
        num_examples=len(split),
        metrics=judgement.metrics,
        primary_metric=judgement.primary_metric,
        label_names=subject.label_names,
        unit=subject.unit,
        stated_coverage=subject.coverage,
        ratings=split.ratings,
        predictions_digest=digest_bytes(predictions),
        created_at=utc_now(),
        **judgement.details,
    )
    page = evaluation_page(evaluation, judge.headlines, judge.sections(evaluation, judgement.plots))
    with replace_folder(output) as folder:
        write_bytes(folder / PREDICTIONS_FILE, predictions)
        for name, png in judgement.plots.items():
            write_bytes(folder / f"{name}.png", png)
        write_text(folder / PAGE_FILE, page)
        write_record(folder / RECORD_FILE, evaluation)
    return evaluation


def load_predictions(folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an evaluation's folder by name; raises `IntegrityError` if they were changed.

    All have `ids`; classification has `labels` and `probabilities`, regression `targets` and one array per output,
    translation `chrf` and, unless the data is confidential, `references` and `hypotheses`.
    """
    evaluation = read_record(Evaluation, folder / RECORD_FILE)
    data = (folder / PREDICTIONS_FILE).read_bytes()
    if digest_bytes(data) != evaluation.predictions_digest:
        raise IntegrityError(f"'{folder / PREDICTIONS_FILE}' was changed after '{RECORD_FILE}' was written.")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def _pack(ids: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, ids=np.array(list(ids), dtype=np.str_), **dict(arrays))
    return buffer.getvalue()
