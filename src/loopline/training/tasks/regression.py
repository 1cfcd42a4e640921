"""Regression: one quantity, learnt in units of the train split's spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from loopline.core.records import Task, TransformStep
from loopline.networks import Network
from loopline.training.tasks.task import Direction, TaskConfig

if TYPE_CHECKING:
    from loopline.training.job import Job
    from loopline.training.metrics_log import MetricsLog
    from loopline.training.modules.module import TrainingModule


class RegressionConfig(TaskConfig):
    """One number per example.

    The network learns (target − mean) / standard deviation of the train split; the bundle's postprocess turns its
    output back into the target's unit. MAE and RMSE are in that unit, the loss is in standard deviations.
    """

    name: Literal["regression"] = "regression"
    task: ClassVar[Task] = "regression"
    metrics: ClassVar[Mapping[str, Direction]] = {"loss": "min", "mae": "min", "rmse": "min"}
    primary_metric: ClassVar[str] = "mae"
    loss: Literal["l1", "huber", "mse"] = "l1"
    # Where Huber's loss turns from squares to absolute values, in standard deviations of the target.
    huber_delta: float = Field(default=0.5, gt=0)
    # The least value that the target can have: predictions below it are raised to it.
    minimum: float | None = None
    # Of the target, as `kg N/ha`; for people.
    unit: str | None = None

    def num_outputs(self, job: Job) -> int:
        return 1

    def postprocess(self, job: Job) -> tuple[TransformStep, ...]:
        targets_N = job.snapshot.split(job.config.data.train_split).targets
        scale = float(targets_N.std(dtype="float64")) or 1.0
        steps = [
            TransformStep(name="affine", params={"scale": scale, "offset": float(targets_N.mean(dtype="float64"))})
        ]
        if self.minimum is not None:
            steps.append(TransformStep(name="clip", params={"minimum": self.minimum}))
        return tuple(steps)

    def module(self, network: Network, job: Job, *, num_steps: int, log: MetricsLog) -> TrainingModule:
        from loopline.training.modules.regression import Regression

        return Regression(network, self, job, num_steps=num_steps, log=log)
