"""`TrainConfig`: everything that decides a training run, checked as a whole. No import path, no code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from loopline.core.errors import ConfigError, UnknownName
from loopline.core.records import Component, Name, Record
from loopline.core.tables import resolve
from loopline.core.validation import validated
from loopline.networks import NETWORKS, NetworkConfig
from loopline.tracking import TRACKERS, TrackerConfig
from loopline.training.augment import AugmentConfig
from loopline.training.finetune import FinetuneConfig
from loopline.training.inputs import INPUTS, InputConfig
from loopline.training.optimizers import OPTIMIZERS, SCHEDULERS, OptimizerConfig, SchedulerConfig
from loopline.training.tasks import TASKS
from loopline.training.tasks.task import Direction, TaskConfig


def component(table: Mapping[str, str], key: str, kind: str | None = None) -> BeforeValidator:
    """Makes a field an alternative of a closed table: its `name` chooses the class that checks its other keys.

    `kind` is what a project's own alternatives are called where that is not the key itself.
    """

    def build(value: Any) -> Any:
        if isinstance(value, Component):
            return value
        name = value.get("name") if isinstance(value, Mapping) else None
        if not isinstance(name, str):
            raise ConfigError(f"key '{key}.name' is missing; expected one of: {', '.join(sorted(table))}.")
        chosen: type[Component] = resolve(table, name, kind=kind or key)
        return validated(chosen, value, where=key)

    return BeforeValidator(build)


class DataConfig(Record):
    """Which examples, in which batches."""

    # A snapshot: its name, `name@version`, or its folder.
    name: str = Field(min_length=1)
    train_split: Name = "train"
    validation_split: Name = "validation"
    batch_size: int = Field(default=128, ge=1)
    # Processes that make batches; 0 makes them in the training process, the quickest while pixels fit into memory.
    num_workers: int = Field(default=0, ge=0)
    # Only the first so many examples of each split; for a quick look.
    max_examples: int | None = Field(default=None, ge=1)
    # `shuffled` takes every training example once an epoch; `balanced` draws as many, every class equally often.
    sampler: Literal["shuffled", "balanced"] = "shuffled"
    augment: AugmentConfig = AugmentConfig()


class TrainerConfig(Record):
    """How long and on what; the names are Lightning's where it has the same option."""

    max_epochs: int = Field(default=10, ge=1)
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    # Processes that train together: one per GPU, or sharing a CPU's cores. Each takes an equal part of every batch.
    devices: int = Field(default=1, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    # Refuses operations whose result may differ between two equal runs.
    deterministic: bool = True
    # Largest norm of the gradient; None leaves it as it is.
    gradient_clip_val: float | None = Field(default=None, gt=0)
    # Share of the old in a running mean of the weights over steps, which is then what is evaluated and exported.
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    # The same for the plain mean of the weights at the ends of the last so many epochs.
    average_epochs: int | None = Field(default=None, ge=2)
    # Batches whose gradients are added up for one step: a large batch in the memory of a small one.
    accumulate_grad_batches: int = Field(default=1, ge=1)
    log_every_n_steps: int = Field(default=50, ge=1)

    @model_validator(mode="after")
    def _one_average(self) -> Self:
        if self.ema_decay is not None and self.average_epochs is not None:
            raise ValueError("ema_decay and average_epochs given; expected at most one of them")
        return self


class CheckpointConfig(Record):
    """When state is saved; the end of every epoch always is."""

    # A killed run loses at most so many optimizer steps.
    every_n_steps: int = Field(default=200, ge=1)


class MonitorConfig(Record):
    """The metric that chooses the best checkpoint and, with `patience`, ends a run that no longer improves."""

    # As `validation/accuracy`; None takes the task's own.
    metric: str | None = None
    # Epochs without improvement before the run ends; None never ends it early.
    patience: int | None = Field(default=None, ge=1)
    min_delta: float = Field(default=0.0, ge=0)


class TrainConfig(Record):
    """A whole training run. Equal configurations on equal data give equal weights on the same CPU."""

    schema_version: Literal[1] = 1
    # Part of the run's id, and the tracker's experiment.
    name: Name
    task: Annotated[SerializeAsAny[TaskConfig], component(TASKS, "task")]
    seed: int = Field(default=0, ge=0, lt=2**32)
    data: DataConfig
    input: Annotated[SerializeAsAny[InputConfig], component(INPUTS, "input")]
    model: Annotated[SerializeAsAny[NetworkConfig], component(NETWORKS, "model", "network")]
    optimizer: Annotated[SerializeAsAny[OptimizerConfig], component(OPTIMIZERS, "optimizer")]
    scheduler: Annotated[SerializeAsAny[SchedulerConfig], component(SCHEDULERS, "scheduler")]
    finetune: FinetuneConfig = FinetuneConfig()
    trainer: TrainerConfig = TrainerConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    monitor: MonitorConfig = MonitorConfig()
    tracking: Annotated[SerializeAsAny[TrackerConfig], component(TRACKERS, "tracking", "tracker")]

    @model_validator(mode="after")
    def _metric_is_measured(self) -> Self:
        measured = [f"validation/{name}" for name in self.task.metrics]
        if self.monitored not in measured:
            raise UnknownName("monitor.metric", self.monitored, measured, of=f"task '{self.task.name}'")
        return self

    @model_validator(mode="after")
    def _batches_can_be_shared(self) -> Self:
        if self.data.batch_size % self.trainer.devices:
            raise ValueError(
                f"data.batch_size={self.data.batch_size} and trainer.devices={self.trainer.devices} given; expected a "
                "batch size that the devices can share equally"
            )
        return self

    @property
    def monitored(self) -> str:
        """The metric that chooses the best checkpoint, as `validation/accuracy`."""
        return self.monitor.metric or f"validation/{self.task.primary_metric}"

    @property
    def monitor_mode(self) -> Direction:
        """Whether less or more of the monitored metric is better."""
        return self.task.metrics[self.monitored.removeprefix("validation/")]


def checked(config: Mapping[str, Any]) -> TrainConfig:
    """The configuration that the dictionary describes; raises `ConfigError` or `UnknownName` with what to mend."""
    valid = validated(TrainConfig, config)
    return valid.model_copy(update={"input": valid.input.completed(valid.model)})
