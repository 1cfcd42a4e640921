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


class LevelBand(Record):
    """What was predicted for the examples whose true value is `level`: low and high bound the middle 90%."""

    level: float
    num_examples: int = Field(ge=1)
    mean: float
    median: float
    low: float
    high: float
    mae: float = Field(ge=0)


class ValueExample(Record):
    """An example whose predicted value is among the furthest from the true one; `low` and `high` where it has them."""

    example_id: str
    target: float
    predicted: float
    low: float | None = None
    high: float | None = None


class SentenceExample(Record):
    """A translation and the reference that it was judged by; texts of confidential data are not kept."""

    example_id: str
    source: str | None = None
    reference: str
    hypothesis: str
    # Sentence chrF, 0 to 100.
    chrf: float = Field(ge=0, le=100)


class Ratings(Record):
    """What people thought of answers; not all that rate also say what would have been right."""

    num_up: int = Field(ge=0)
    num_down: int = Field(ge=0)


class Evaluation(Record):
    """The metrics of a subject (a run's checkpoint or a bundle) on one split of one snapshot.

    The split `feedback` is no split of the snapshot: its examples are served predictions that got a truth later, and
    its digest is that of their request ids and truths.
    """

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
    # Of predicted values: their unit, what was predicted per true level where there are few, the furthest off.
    unit: str | None = None
    # The share of truths that the model says its intervals hold.
    stated_coverage: float | None = Field(default=None, gt=0, lt=1)
    levels: tuple[LevelBand, ...] = ()
    furthest: tuple[ValueExample, ...] = ()
    # Of translations: how the metrics were computed, in sacreBLEU's words, and the worst and the best.
    metric_signature: str | None = None
    worst_sentences: tuple[SentenceExample, ...] = ()
    best_sentences: tuple[SentenceExample, ...] = ()
    # Of the split `feedback`, where people rated answers.
    ratings: Ratings | None = None
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
    """A challenger's score minus a champion's on the same examples, with its 95% interval; higher is better.

    By `metric`, `difference` and `margin` are in other units: shares of the examples (`accuracy`), shares of the
    champion's error (`mae`), points from 0 to 100 (`chrf`). The challenger is `not_worse` when the whole interval lies
    above `-margin`: a model that is worse by the margin or more passes less than one time in twenty, and too few
    examples to tell count against it.
    """

    metric: Literal["accuracy", "mae", "chrf"] = "accuracy"
    difference: float
    low: float
    high: float
    margin: float = Field(ge=0)
    # Share of the resamples in which the challenger's score is below the champion's.
    p_worse: float = Field(ge=0, le=1)
    num_examples: int = Field(ge=1)
    # Examples on which only the challenger is right, and only the champion; or on which either is the closer one.
    num_won: int = Field(ge=0)
    num_lost: int = Field(ge=0)
    not_worse: bool

    @model_validator(mode="after")
    def _verdict_agrees(self) -> Self:
        if self.not_worse != (self.low >= -self.margin):
            raise ValueError("not_worse differs from what the interval and the margin say")
        if self.num_won + self.num_lost > self.num_examples:
            raise ValueError("more examples won and lost than there are")
        if self.metric == "accuracy" and not (-1 <= self.difference <= 1 and self.margin < 1):
            raise ValueError("a difference of accuracies lies between -1 and 1, and its margin below 1")
        return self

    @property
    def verdict(self) -> Literal["not worse", "worse", "undecided"]:
        """`undecided` when the examples neither exclude a loss beyond the margin nor show that there is a loss."""
        if self.not_worse:
            return "not worse"
        return "worse" if self.high < 0 else "undecided"

    @property
    def unit(self) -> str:
        """What the figures of the sentence are counted in."""
        return _UNITS[self.metric][0]

    def in_points(self, difference: float) -> float:
        """A difference of this comparison in its unit: shares as points of a hundred."""
        return _UNITS[self.metric][1] * difference

    @property
    def sentence(self) -> str:
        """The comparison in words, with the figures that it was judged by."""
        unit, scale = _UNITS[self.metric]
        return (
            f"challenger minus champion: {scale * self.difference:+.2f} {unit} "
            f"(95% interval {scale * self.low:+.2f} to {scale * self.high:+.2f}, {self.num_examples:,} examples, "
            f"{self.num_won:,} won, {self.num_lost:,} lost); a loss of up to {scale * self.margin:.2f} is allowed: "
            f"{self.verdict}."
        )


# What a comparison's figures are counted in, and by what they are multiplied to be so.
_UNITS = {
    "accuracy": ("points of accuracy", 100),
    "mae": ("per cent of the champion's mean absolute error", 100),
    "chrf": ("points of chrF", 1),
}
