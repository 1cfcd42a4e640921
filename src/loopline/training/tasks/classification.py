"""Classification: one label out of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from loopline.core.records import Task
from loopline.training.tasks.task import Direction, TaskConfig


class ClassificationConfig(TaskConfig):
    """One label out of those of the snapshot."""

    name: Literal["classification"] = "classification"
    task: ClassVar[Task] = "classification"
    metrics: ClassVar[Mapping[str, Direction]] = {"loss": "min", "accuracy": "max"}
    primary_metric: ClassVar[str] = "accuracy"
    module: ClassVar[str] = "loopline.training.modules.classification:Classification"
    # Share of each label that is spread over all labels.
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    # `balanced` weighs the loss of an example by how rare its class is in the train split; the mean weight is 1.
    class_weights: Literal["none", "balanced"] = "none"
