"""What goes into an evaluation: who answered, and on which examples; and what a task's judge makes of it.

N examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.records import DatasetRef, Evaluation, Metric, ModelBundle, Ratings, Task
from loopline.page import Section
from loopline.predictor import Predicted


@dataclass(frozen=True)
class JudgedSubject:
    """What is judged: a run by its id, or a bundle by its digest."""

    kind: Literal["run", "bundle"]
    key: str
    task: Task
    label_names: tuple[str, ...] = ()
    # Of predicted values, and the share of truths that their interval is said to hold.
    unit: str | None = None
    coverage: float | None = None

    @classmethod
    def of_bundle(cls, bundle: ModelBundle) -> JudgedSubject:
        """The bundle as it is judged."""
        stated = [float(step.params["coverage"]) for step in bundle.postprocess if step.name == "interval"]
        coverage = stated[0] if stated else None
        return cls("bundle", bundle.digest, bundle.task, bundle.label_names, bundle.unit, coverage)


@dataclass(frozen=True)
class JudgedSplit:
    """What it is judged on: a split of a snapshot, with the examples' ids and targets."""

    dataset: DatasetRef
    name: str
    digest: str
    ids: Sequence[str]
    # int64, each the index of a label name; floats; or texts.
    targets_N: NDArray[Any]
    input_kind: str = "image"
    # The bytes of one input by its index; None where they are not at hand or must not be shown.
    raw: Callable[[int], bytes] | None = None
    # Nothing of an example is shown or kept but its id and its figures.
    confidential: bool = False
    ratings: Ratings | None = None

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.targets_N):
            raise InputError(f"{len(self.ids)} ids for {len(self.targets_N)} targets were given; expected one each.")

    def __len__(self) -> int:
        return len(self.targets_N)

    def shown_raw(self, index: int) -> bytes | None:
        """The bytes of one input, or None where it must not be shown or is not at hand."""
        return None if self.confidential or self.raw is None else self.raw(index)


@dataclass(frozen=True)
class Judgement:
    """What a judge found."""

    metrics: dict[str, Metric]
    primary_metric: str
    # The fields of `Evaluation` that only this task fills.
    details: Mapping[str, Any]
    # What `predictions.npz` keeps beside the ids.
    arrays: Mapping[str, NDArray[Any]]
    # PNG by name.
    plots: Mapping[str, bytes] = field(default_factory=dict)


class Judge(Protocol):
    """How the predictions of one task are judged, and what their page shows."""

    # The metrics to see from afar, with the words for them.
    headlines: Mapping[str, str]

    def judge(self, subject: JudgedSubject, split: JudgedSplit, predicted: Predicted, *, seed: int) -> Judgement:
        """Judges predictions; raises `InputError` where they do not fit the targets."""

    def sections(self, evaluation: Evaluation, plots: Mapping[str, bytes]) -> list[Section]:
        """What the page shows below the metrics."""
