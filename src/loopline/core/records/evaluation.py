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


class HardExample(Record):
    """An example that the subject found hard: the probability that it gave to the true label was among the lowest."""

    example_id: str
    label: str
    predicted: str
    # Probability of the predicted label, and of the true one.
    confidence: float = Field(ge=0, le=1)
    label_probability: float = Field(ge=0, le=1)


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
    hardest: tuple[HardExample, ...] = ()
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


class PairedComparison(Record):
    """Accuracy of a challenger minus that of a champion on the same examples, with its 95% interval.

    The challenger is `not_worse` when the whole interval lies above `-margin`: a model that is worse by the margin or
    more passes less than one time in twenty, and too few examples to tell count against it.
    """

    difference: float = Field(ge=-1, le=1)
    low: float
    high: float
    margin: float = Field(ge=0, lt=1)
    # Share of the resamples in which the challenger is less accurate than the champion.
    p_worse: float = Field(ge=0, le=1)
    num_examples: int = Field(ge=1)
    # Examples that only the challenger has right, and that only the champion has right.
    num_won: int = Field(ge=0)
    num_lost: int = Field(ge=0)
    not_worse: bool

    @model_validator(mode="after")
    def _verdict_agrees(self) -> Self:
        if self.not_worse != (self.low >= -self.margin):
            raise ValueError("not_worse differs from what the interval and the margin say")
        if self.num_won + self.num_lost > self.num_examples:
            raise ValueError("more examples won and lost than there are")
        return self

    @property
    def verdict(self) -> Literal["not worse", "worse", "undecided"]:
        """`undecided` when the examples neither exclude a loss beyond the margin nor show that there is a loss."""
        if self.not_worse:
            return "not worse"
        return "worse" if self.high < 0 else "undecided"

    @property
    def sentence(self) -> str:
        """The comparison in words, with the figures that it was judged by."""
        return (
            f"challenger minus champion: {100 * self.difference:+.2f} points of accuracy "
            f"(95% interval {100 * self.low:+.2f} to {100 * self.high:+.2f}, {self.num_examples:,} examples, "
            f"{self.num_won:,} won, {self.num_lost:,} lost); a loss of up to {100 * self.margin:.2f} is allowed: "
            f"{self.verdict}."
        )
