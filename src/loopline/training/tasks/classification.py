"""Classification: one label out of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from loopline.core.records import Task, TransformStep
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
    # `balanced` weighs the loss of an example by how rare its class is in the train split; the mean weight is 1.
    class_weights: Literal["none", "balanced"] = "none"

    def num_outputs(self, job: Job) -> int:
        return len(job.snapshot.manifest.label_names)

    def loss_weights(self, job: Job) -> list[float] | None:
        """The weight of each class in the training loss, or None where all are 1; one without examples has 0."""
        if self.class_weights == "none":
            return None
        targets_N = job.snapshot.split(job.config.data.train_split).targets
        counts_K = np.bincount(targets_N, minlength=len(job.snapshot.manifest.label_names))
        present = int(np.count_nonzero(counts_K))
        return [len(targets_N) / (present * int(count)) if count else 0.0 for count in counts_K]

    def postprocess(self, job: Job) -> tuple[TransformStep, ...]:
        return (TransformStep(name="softmax"),)

    def module(self, network: Network, job: Job, *, num_steps: int, log: MetricsLog) -> TrainingModule:
        from loopline.training.modules.classification import Classification

        return Classification(network, self, job, num_steps=num_steps, log=log)
