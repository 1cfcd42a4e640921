"""`evaluate_predictions`: from labels and probabilities to an `Evaluation`, its plots and its page.

N examples, K classes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError, IntegrityError
from loopline.core.records import DatasetRef, Evaluation, HardExample, utc_now
from loopline.core.store import digest_bytes, read_record, replace_folder, write_bytes, write_record, write_text
from loopline.evaluation.page import evaluation_page
from loopline.metrics import calibration_bins, check_predictions, class_table, classification_metrics, confusion_matrix
from loopline.plots import confusion_png, reliability_png

RECORD_FILE = "evaluation.json"
PREDICTIONS_FILE = "predictions.npz"
PAGE_FILE = "evaluation.html"
NUM_HARDEST = 24


@dataclass(frozen=True)
class JudgedSubject:
    """What is judged: a run by its id, or a bundle by its digest."""

    kind: Literal["run", "bundle"]
    key: str
    label_names: tuple[str, ...]


@dataclass(frozen=True)
class JudgedSplit:
    """What it is judged on: a split of a snapshot, with the examples' ids and labels."""

    dataset: DatasetRef
    name: str
    digest: str
    ids: Sequence[str]
    # int64, each the index of a label name.
    labels_N: NDArray[np.int64]


def evaluate_predictions(
    subject: JudgedSubject, split: JudgedSplit, probabilities_NK: NDArray[Any], *, output: Path, seed: int = 0
) -> Evaluation:
    """Judges probabilities and writes `evaluation.json`, `predictions.npz`, plots and `evaluation.html` to `output`.

    Metrics carry 95% bootstrap intervals (`loopline.metrics`). The folder is replaced as a whole. Raises `InputError`
    where ids, labels and probabilities do not fit each other or are none.
    """
    labels_N = split.labels_N
    check_predictions(labels_N, probabilities_NK, num_classes=len(subject.label_names))
    if len(split.ids) != len(labels_N):
        raise InputError(f"{len(split.ids)} ids for {len(labels_N)} labels were given; expected one each.")
    predicted_N = probabilities_NK.argmax(axis=1)
    counts_KK = confusion_matrix(labels_N, predicted_N, num_classes=len(subject.label_names))
    predictions = _pack(split.ids, labels_N, probabilities_NK)
    evaluation = Evaluation(
        subject_kind=subject.kind,
        subject=subject.key,
        task="classification",
        dataset=split.dataset,
        split=split.name,
        split_digest=split.digest,
        num_examples=len(labels_N),
        metrics=classification_metrics(labels_N, probabilities_NK, seed=seed),
        primary_metric="accuracy",
        per_class=class_table(counts_KK, subject.label_names),
        confusion=tuple(tuple(int(count) for count in row) for row in counts_KK),
        calibration=calibration_bins(predicted_N == labels_N, probabilities_NK.max(axis=1)),
        hardest=_hardest(subject.label_names, split, probabilities_NK),
        label_names=subject.label_names,
        predictions_digest=digest_bytes(predictions),
        created_at=utc_now(),
    )
    confusion, calibration = confusion_png(counts_KK, subject.label_names), reliability_png(evaluation.calibration)
    with replace_folder(output) as folder:
        write_bytes(folder / PREDICTIONS_FILE, predictions)
        write_bytes(folder / "confusion.png", confusion)
        write_bytes(folder / "calibration.png", calibration)
        write_text(folder / PAGE_FILE, evaluation_page(evaluation, confusion=confusion, calibration=calibration))
        write_record(folder / RECORD_FILE, evaluation)
    return evaluation


def load_predictions(folder: Path) -> dict[str, NDArray[Any]]:
    """`ids`, `labels` and `probabilities` of an evaluation's folder; raises `IntegrityError` if they were changed."""
    evaluation = read_record(Evaluation, folder / RECORD_FILE)
    data = (folder / PREDICTIONS_FILE).read_bytes()
    if digest_bytes(data) != evaluation.predictions_digest:
        raise IntegrityError(f"'{folder / PREDICTIONS_FILE}' was changed after '{RECORD_FILE}' was written.")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in ("ids", "labels", "probabilities")}


def _hardest(label_names: Sequence[str], split: JudgedSplit, probabilities_NK: NDArray[Any]) -> tuple[HardExample, ...]:
    true_N = probabilities_NK[np.arange(len(split.labels_N)), split.labels_N]
    hardest = np.argsort(true_N, kind="stable")[:NUM_HARDEST]
    return tuple(
        HardExample(
            example_id=str(split.ids[index]),
            label=label_names[split.labels_N[index]],
            predicted=label_names[int(probabilities_NK[index].argmax())],
            confidence=float(np.clip(probabilities_NK[index].max(), 0, 1)),
            label_probability=float(np.clip(true_N[index], 0, 1)),
        )
        for index in hardest
    )


def _pack(ids: Sequence[str], labels_N: NDArray[Any], probabilities_NK: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        ids=np.array(list(ids), dtype=np.str_),
        labels=labels_N.astype(np.int64),
        probabilities=probabilities_NK.astype(np.float32),
    )
    return buffer.getvalue()
