"""Classification: cross-entropy on logits; loss and accuracy as sums that a checkpoint carries.

N examples, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn.functional import cross_entropy

from loopline.core.errors import StateError
from loopline.networks import Network
from loopline.training.batches import Batch
from loopline.training.config import TrainConfig
from loopline.training.metrics_log import MetricsLog


class Sums:
    """Running sums over examples: Python floats in a fixed order, so that a resumed epoch adds up to the same bits."""

    def __init__(self) -> None:
        self.loss, self.correct, self.num_examples = 0.0, 0, 0

    def add(self, loss: float, logits_NK: Tensor, targets_N: Tensor) -> None:
        """Adds a batch, given its mean loss."""
        self.loss += loss * len(targets_N)
        self.correct += int((logits_NK.argmax(dim=1) == targets_N).sum())
        self.num_examples += len(targets_N)

    def means(self, split: str) -> dict[str, float]:
        """The loss and accuracy so far, by `split/name`."""
        return {f"{split}/loss": self.loss / self.num_examples, f"{split}/accuracy": self.correct / self.num_examples}


class Classification(LightningModule):
    """Trains a network on labelled images; `metrics` holds the figures of the last whole epoch."""

    def __init__(self, network: Network, config: TrainConfig, *, num_steps: int, log: MetricsLog) -> None:
        super().__init__()
        # Channels last: a third faster for convolutions on CPUs, and on GPUs with mixed precision.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch omits it
        self.metrics: dict[str, float] = {}
        self._config = config
        self._num_steps = num_steps
        self._log = log
        self._train = Sums()
        self._validation = Sums()

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        loss, logits_NK = self._loss(batch, smoothing=self._config.trainer.label_smoothing)
        value = float(loss.detach())
        step = self.global_step + 1
        self._refuse_nan("train/loss", value, step)
        self._train.add(value, logits_NK, batch.targets_N)
        if step % self._config.trainer.log_every_n_steps == 0:
            rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
            self._log.record({"train/batch_loss": value, "train/learning_rate": rate}, step)
        return loss

    def on_validation_epoch_start(self) -> None:
        self._validation = Sums()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        loss, logits_NK = self._loss(batch, smoothing=0.0)
        self._validation.add(float(loss), logits_NK, batch.targets_N)

    def on_train_epoch_end(self) -> None:
        self.metrics = self._train.means("train") | self._validation.means("validation")
        self._refuse_nan("validation/loss", self.metrics["validation/loss"], self.global_step)
        self._train = Sums()
        self._log.record(self.metrics, self.global_step)
        # For Lightning's early stopping and ours of the best checkpoint.
        self.log_dict(
            {name: torch.tensor(value, dtype=torch.float64) for name, value in self.metrics.items()}, prog_bar=True
        )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = self._config.optimizer.build(self.network)
        scheduler = self._config.scheduler.build(optimizer, num_steps=self._num_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["metrics"] = {"epoch": self.metrics, "train_sums": vars(self._train)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.metrics = checkpoint["metrics"]["epoch"]
        vars(self._train).update(checkpoint["metrics"]["train_sums"])
        self._log.rewind(checkpoint["global_step"])

    def _refuse_nan(self, name: str, value: float, step: int) -> None:
        """A network that diverged does not come back; going on would only overwrite good checkpoints."""
        if not math.isfinite(value):
            raise StateError(
                f"{name} is {value} at step {step}; expected a finite number. Lower the learning rate, or clip the "
                "gradient.",
                next_command=f"loopline train … optimizer.lr={self._config.optimizer.lr / 10:g} "
                "trainer.gradient_clip_val=1",
            )

    def _loss(self, batch: Batch, *, smoothing: float) -> tuple[Tensor, Tensor]:
        x_NCHW = batch.x_NCHW.contiguous(memory_format=torch.channels_last)
        logits_NK, _ = self.network(x_NCHW)
        return cross_entropy(logits_NK, batch.targets_N, label_smoothing=smoothing), logits_NK
