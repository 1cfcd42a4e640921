"""Training on examples with values, measured in the target's own unit.

N examples.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, l1_loss, mse_loss

from loopline.core.records import TransformStep
from loopline.networks import Network
from loopline.training.batches import Batch
from loopline.training.job import Job
from loopline.training.metrics_log import MetricsLog
from loopline.training.modules.module import TrainingModule, parameters
from loopline.training.tasks.regression import RegressionConfig


class Regression(TrainingModule):
    """Trains a network on examples with values."""

    def __init__(self, network: Network, job: Job, *, num_steps: int, log: MetricsLog) -> None:
        super().__init__(network, job, num_steps=num_steps, log=log)
        self._task = parameters(job, RegressionConfig)
        affine = self.postprocess(job)[0].params
        self._scale, self._offset = float(affine["scale"]), float(affine["offset"])

    @staticmethod
    def num_outputs(job: Job) -> int:
        return 1

    @staticmethod
    def postprocess(job: Job) -> tuple[TransformStep, ...]:
        targets_N = job.snapshot.split(job.config.data.train_split).targets
        scale, offset = float(targets_N.std(dtype="float64")) or 1.0, float(targets_N.mean(dtype="float64"))
        affine = TransformStep(name="affine", params={"scale": scale, "offset": offset})
        minimum = parameters(job, RegressionConfig).minimum
        return (affine,) if minimum is None else (affine, TransformStep(name="clip", params={"minimum": minimum}))

    def loss(self, batch: Batch, *, training: bool) -> tuple[Tensor, Tensor]:
        outputs_N1, _ = self.network.one_view()(batch.x_N)
        given_N, wanted_N = outputs_N1[:, 0], (batch.targets_N - self._offset) / self._scale
        if self._task.loss == "huber":
            return huber_loss(given_N, wanted_N, delta=self._task.huber_delta), outputs_N1
        return (l1_loss if self._task.loss == "l1" else mse_loss)(given_N, wanted_N), outputs_N1

    def sums(self, outputs_NK: Tensor, batch: Batch) -> dict[str, float]:
        value_N = outputs_NK[:, 0].double() * self._scale + self._offset
        if self._task.minimum is not None:
            value_N = torch.clamp(value_N, min=self._task.minimum)
        error_N = value_N - batch.targets_N
        return {"mae": float(error_N.abs().sum()), "rmse": float(error_N.square().sum())}

    def figures(self, means: dict[str, float]) -> dict[str, float]:
        """The root of the mean square, and the others as they are."""
        return {**means, "rmse": math.sqrt(means["rmse"])}
