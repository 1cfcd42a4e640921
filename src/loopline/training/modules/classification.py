"""Training on labelled examples: cross-entropy on logits, accuracy.

N examples, K classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from loopline.core.records import TransformStep
from loopline.networks import Network
from loopline.training.batches import Batch
from loopline.training.job import Job
from loopline.training.metrics_log import MetricsLog
from loopline.training.modules.module import TrainingModule, parameters
from loopline.training.tasks.classification import ClassificationConfig


class Classification(TrainingModule):
    """Trains a network on labelled examples."""

    weights_K: Tensor | None

    def __init__(self, network: Network, job: Job, *, num_steps: int, log: MetricsLog) -> None:
        if len(job.pipeline.input_shape) == 3:
            # Channels last: a third faster for convolutions on CPUs, and on GPUs with mixed precision.
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch omits it
        super().__init__(network, job, num_steps=num_steps, log=log)
        self._task = parameters(job, ClassificationConfig)
        weights_K = loss_weights(job) if self._task.class_weights == "balanced" else None
        # Not in the checkpoint: the snapshot gives them again.
        self.register_buffer("weights_K", None if weights_K is None else torch.tensor(weights_K), persistent=False)

    @staticmethod
    def num_outputs(job: Job) -> int:
        return len(job.snapshot.manifest.label_names)

    @staticmethod
    def postprocess(job: Job) -> tuple[TransformStep, ...]:
        return (TransformStep(name="softmax"),)

    def loss(self, batch: Batch, *, training: bool) -> tuple[Tensor, Tensor]:
        x_N = batch.x_N
        if x_N.ndim == 4:
            x_N = x_N.contiguous(memory_format=torch.channels_last)
        logits_NK, _ = self.network.one_view()(x_N)
        if not training:
            return cross_entropy(logits_NK, batch.targets_N), logits_NK
        loss = self._training_loss(logits_NK, batch.targets_N)
        if batch.others_N is not None:
            loss = batch.kept * loss + (1 - batch.kept) * self._training_loss(logits_NK, batch.others_N)
        return loss, logits_NK

    def _training_loss(self, logits_NK: Tensor, targets_N: Tensor) -> Tensor:
        smoothing = self._task.label_smoothing
        if self.weights_K is None:
            return cross_entropy(logits_NK, targets_N, label_smoothing=smoothing)
        # The plain mean: torch's own divides by the weights of the batch at hand, and so takes half of their effect.
        loss_N = cross_entropy(logits_NK, targets_N, label_smoothing=smoothing, reduction="none")
        return (loss_N * self.weights_K[targets_N]).mean()

    def sums(self, outputs_NK: Tensor, batch: Batch) -> dict[str, float]:
        return {"accuracy": float((outputs_NK.argmax(dim=1) == batch.targets_N).sum())}


def loss_weights(job: Job) -> list[float]:
    """The weight of each class in the training loss: the rarer the larger, the mean over the examples is 1.

    A class without examples has 0.
    """
    targets_N = job.snapshot.split(job.config.data.train_split).targets
    counts_K = np.bincount(targets_N, minlength=len(job.snapshot.manifest.label_names))
    present = int(np.count_nonzero(counts_K))
    return [len(targets_N) / (present * int(count)) if count else 0.0 for count in counts_K]
