"""Classification: one label out of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from loopline.core.records import DatasetManifest, Task, TransformStep
from loopline.networks import Network
from loopline.training.tasks.task import Direction, TaskConfig

if TYPE_CHECKING:
    from loopline.training.job import Job
    from loopline.training.metrics_log import MetricsLog
    from loopline.training.modules.module import TrainingModule


class ClassificationConfig(TaskConfig):
    """One label out of those of the snapshot."""

    name: Literal["classification"] = "classification"
    task: ClassVar[Task] = "classification"
    metrics: ClassVar[Mapping[str, Direction]] = {"loss": "min", "accuracy": "max"}
    primary_metric: ClassVar[str] = "accuracy"
    # Share of each label that is spread over all labels.
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    def num_outputs(self, manifest: DatasetManifest) -> int:
        return len(manifest.label_names)

    def postprocess(self, job: Job) -> tuple[TransformStep, ...]:
        return (TransformStep(name="softmax"),)

    def module(self, network: Network, job: Job, *, num_steps: int, log: MetricsLog) -> TrainingModule:
        from loopline.training.modules.classification import Classification

        return Classification(network, self, job, num_steps=num_steps, log=log)
