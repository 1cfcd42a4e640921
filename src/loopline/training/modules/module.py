"""What every Lightning module of ours is: it keeps its sums in the checkpoint and says its figures in one place.

N examples, K outputs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer

from loopline.core.errors import StateError
from loopline.core.records import TransformStep
from loopline.networks import Network
from loopline.training.average import Average, EpochAverage, MovingAverage
from loopline.training.batches import Batch, Batches, Loader, Shuffle
from loopline.training.config import TrainConfig
from loopline.training.job import Job
from loopline.training.metrics_log import MetricsLog
from loopline.training.tasks.task import TaskConfig


class Sums:
    """Running sums over examples: Python floats in a fixed order, so that a resumed epoch adds up to the same bits."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}
        self.num_examples = 0

    def add(self, sums: Mapping[str, float], num_examples: int) -> None:
        """Adds the sums of a batch."""
        for name, value in sums.items():
            self.totals[name] = self.totals.get(name, 0.0) + value
        self.num_examples += num_examples

    def means(self) -> dict[str, float]:
        """The means so far, by name."""
        return {name: total / self.num_examples for name, total in self.totals.items()}


C = TypeVar("C", bound=TaskConfig)


def parameters(job: Job, kind: type[C]) -> C:
    """The parameters of a job's task; a module trains the task that names it, and no other."""
    task = job.config.task
    if not isinstance(task, kind):
        raise TypeError(f"task '{task.name}' given; expected a {kind.__name__}")
    return task


class TrainingModule(LightningModule, ABC):
    """Trains a network; `metrics` holds the figures of the last whole epoch.

    With `trainer.ema_decay` or `trainer.average_epochs`, `average` is a mean of the network's weights over training,
    and validation measures that. It sees each picture once, whatever views the network is averaged over in use.
    """

    def __init__(self, network: Network, job: Job, *, num_steps: int, log: MetricsLog) -> None:
        """Takes a fresh network; `num_steps` are all optimizer steps of the run."""
        super().__init__()
        config = job.config
        self.network = network
        self.metrics: dict[str, float] = {}
        # Figures of the validation split that are no means over its examples.
        self.measured: dict[str, float] = {}
        self._average = _average(network, config)
        # Registered under this name, and so in every checkpoint.
        self.average = None if self._average is None else self._average.mean
        self._config = config
        self._num_steps = num_steps
        self._log = log
        self._train = Sums()
        self._validation = Sums()

    @staticmethod
    @abstractmethod
    def num_outputs(job: Job) -> int:
        """K of the network's first output."""

    @staticmethod
    @abstractmethod
    def postprocess(job: Job) -> tuple[TransformStep, ...]:
        """From the network's outputs to what a person asked for, as the bundle will carry it."""

    @staticmethod
    def loaders(job: Job) -> tuple[Loader, Loader]:
        """The batches to train on and those to check on, from the decoded cache."""
        config, cache = job.config, job.workspace.cache
        data = config.data
        train, validation = job.snapshot.split(data.train_split), job.snapshot.split(data.validation_split)
        size, limit = data.batch_size, data.max_examples
        shuffle = Shuffle(config.seed, data.augment, data.sampler == "balanced", job.share)
        training = Batches(train, job.pipeline, cache, batch_size=size, max_examples=limit, shuffle=shuffle)
        # Nothing is kept for a backward pass: batches may be larger.
        checking = Batches(validation, job.pipeline, cache, batch_size=4 * size, max_examples=limit)
        training.prepare()
        checking.prepare()
        return (
            Loader(training, num_workers=data.num_workers),
            Loader(checking, num_workers=data.num_workers, share=job.share),
        )

    @abstractmethod
    def loss(self, batch: Batch, *, training: bool) -> tuple[Tensor, Tensor]:
        """The mean loss of a batch, and the network's outputs."""

    @abstractmethod
    def sums(self, outputs_NK: Tensor, batch: Batch) -> dict[str, float]:
        """What is summed over the batch's examples beside the loss, by metric."""

    def num_counted(self, batch: Batch) -> int:
        """How many examples (of texts: tokens) the mean loss of a batch is over."""
        return len(batch.targets_N)

    def figures(self, means: dict[str, float]) -> dict[str, float]:
        """The metrics of a split from its means; most are the means."""
        return means

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        self._config.finetune.apply(self.network, self.current_epoch)
        loss, outputs_NK = self.loss(batch, training=True)
        value = float(loss.detach())
        step = self.global_step + 1
        self._refuse_nan("train/loss", value, step)
        self._add(self._train, value, outputs_NK.detach(), batch)
        last_of_step = (batch_index + 1) % self._config.trainer.accumulate_grad_batches == 0
        if last_of_step and step % self._config.trainer.log_every_n_steps == 0:
            rate = max(float(group["lr"]) for group in self.trainer.optimizers[0].param_groups)
            self._log.record({"train/batch_loss": value, "train/learning_rate": rate}, step)
        return loss

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Steps, and moves the average along: here and not in a later hook, so that a checkpoint holds both or none."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self._average is not None:
            self._average.after_step(self.global_step)

    def on_validation_epoch_start(self) -> None:
        self._validation = Sums()
        if self._average is not None:
            self._average.after_epoch(self.current_epoch)
        if self.trainer.world_size > 1:
            # Each rank saw other examples; what is measured is what rank 0 will save.
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, src=0)
        if self._average is not None:
            self._average.swap()

    def on_validation_epoch_end(self) -> None:
        if self._average is not None:
            self._average.swap()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        loss, outputs_NK = self.loss(batch, training=False)
        self._add(self._validation, float(loss), outputs_NK, batch)

    def on_train_epoch_end(self) -> None:
        self.metrics = {
            f"{split}/{name}": value
            for split, sums in (("train", self._train), ("validation", self._validation))
            for name, value in self.figures(self._of_all_ranks(sums).means()).items()
        } | {f"validation/{name}": value for name, value in self.measured.items()}
        self._refuse_nan("validation/loss", self.metrics["validation/loss"], self.global_step)
        self._train = Sums()
        self._log.record(self.metrics, self.global_step)
        # For Lightning's early stopping and ours of the best checkpoint.
        self.log_dict(
            {name: torch.tensor(value, dtype=torch.float64) for name, value in self.metrics.items()},
            prog_bar=True,
            # Equal on all ranks already; Lightning would warn.
            sync_dist=self.trainer.world_size > 1,
        )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = self._config.optimizer.build(self.network)
        scheduler = self._config.scheduler.build(optimizer, num_steps=self._num_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["metrics"] = {"epoch": self.metrics, "train_sums": vars(self._of_all_ranks(self._train))}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.metrics = checkpoint["metrics"]["epoch"]
        if self.trainer.is_global_zero:
            vars(self._train).update(checkpoint["metrics"]["train_sums"])
        self._log.rewind(checkpoint["global_step"])

    def _add(self, sums: Sums, loss: float, outputs_NK: Tensor, batch: Batch) -> None:
        num_examples = self.num_counted(batch)
        sums.add({"loss": loss * num_examples, **self.sums(outputs_NK, batch)}, num_examples)

    def _of_all_ranks(self, sums: Sums) -> Sums:
        if self.trainer.world_size == 1:
            return sums
        names = sorted(sums.totals)
        values = torch.tensor([*(sums.totals[name] for name in names), sums.num_examples], dtype=torch.float64)
        values = values.to(self.device)
        torch.distributed.all_reduce(values)
        together = Sums()
        *totals, num_examples = values.tolist()
        together.add(dict(zip(names, totals, strict=True)), round(num_examples))
        return together

    def _refuse_nan(self, name: str, value: float, step: int) -> None:
        """A network that diverged does not come back; going on would only overwrite good checkpoints."""
        if not math.isfinite(value):
            raise StateError(
                f"{name} is {value} at step {step}; expected a finite number. Lower the learning rate, or clip the "
                "gradient.",
                next_command=f"loopline train … optimizer.lr={self._config.optimizer.lr / 10:g} "
                "trainer.gradient_clip_val=1",
            )


def _average(network: Network, config: TrainConfig) -> Average | None:
    decay, num_epochs = config.trainer.ema_decay, config.trainer.average_epochs
    if decay is not None:
        return MovingAverage(network, decay)
    if num_epochs is not None:
        return EpochAverage(network, num_epochs=num_epochs, max_epochs=config.trainer.max_epochs)
    return None
