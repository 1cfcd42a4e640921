"""`Evaluation`: how good one subject is on one split, with intervals and the predictions it was judged by."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from loopline.core.records.dataset import Task
from loopline.core.records.record import Digest, Name, Record, Time
from loopline.core.records.run import DatasetRef


class Metric(Record):
    """A value with its 95% bootstrap interval."""

    value: float
    low: float
    high: float
    higher_is_better: bool = True


class ClassRow(Record):
    """One class of the per-class table; precision, recall and F1 are 0 where undefined."""

    label: str
    precision: float
    recall: float
    f1: float
    num_examples: int = Field(ge=0)


class CalibrationBin(Record):
    """Predictions whose confidence lies in (low, high]: their mean confidence and the share that was right."""

    low: float
    high: float
    confidence: float
    accuracy: float
    num_examples: int = Field(ge=0)


class Evaluation(Record):
    """The metrics of a subject (a run's checkpoint or a bundle) on one split of one snapshot."""

    schema_version: Literal[1] = 1
    subject_kind: Literal["run", "bundle"]
    # A run's id, or a bundle's digest.
    subject: str
    task: Task
    dataset: DatasetRef
    split: Name
    split_digest: Digest
    num_examples: int = Field(ge=1)
    metrics: dict[str, Metric]
    primary_metric: str
    per_class: tuple[ClassRow, ...] = ()
    # Row: true label, column: predicted label, both in the order of label_names.
    confusion: tuple[tuple[int, ...], ...] = ()
    calibration: tuple[CalibrationBin, ...] = ()
    label_names: tuple[str, ...] = ()
    predictions_digest: Digest
    created_at: Time

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.primary_metric not in self.metrics:
            raise ValueError(f"primary metric '{self.primary_metric}' is not among the metrics")
        if self.confusion and sum(map(sum, self.confusion)) != self.num_examples:
            raise ValueError("the confusion matrix does not sum to num_examples")
        return self
