"""What every task is: its parameters, and what it needs to know of the data. No Lightning: a config is quickly read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from loopline.core.records import Component, Task, TransformStep
from loopline.networks import Network
from loopline.training.batches import Batches, Loader, Shuffle

if TYPE_CHECKING:
    from loopline.training.job import Job
    from loopline.training.metrics_log import MetricsLog
    from loopline.training.modules.module import TrainingModule

Direction = Literal["min", "max"]


class TaskConfig(Component, ABC):
    """A task's parameters, and what it needs to know of the data."""

    # The manifest's word for it.
    task: ClassVar[Task]
    # What is measured on each split, and whether less or more of it is better.
    metrics: ClassVar[Mapping[str, Direction]]
    # The one that chooses the best checkpoint, unless the configuration names another.
    primary_metric: ClassVar[str]

    @abstractmethod
    def num_outputs(self, job: Job) -> int:
        """K of the network's first output."""

    @abstractmethod
    def postprocess(self, job: Job) -> tuple[TransformStep, ...]:
        """From the network's outputs to what a person asked for, as the bundle will carry it."""

    @abstractmethod
    def module(self, network: Network, job: Job, *, num_steps: int, log: MetricsLog) -> TrainingModule:
        """What Lightning trains; `num_steps` are all optimizer steps of the run."""

    def loaders(self, job: Job) -> tuple[Loader, Loader]:
        """The batches to train on and those to check on, from the decoded cache."""
        config, cache = job.config, job.workspace.cache
        data = config.data
        train, validation = job.snapshot.split(data.train_split), job.snapshot.split(data.validation_split)
        size, limit = data.batch_size, data.max_examples
        shuffle = Shuffle(config.seed, data.augment, data.sampler == "balanced")
        training = Batches(train, job.pipeline, cache, batch_size=size, max_examples=limit, shuffle=shuffle)
        # Nothing is kept for a backward pass: batches may be larger.
        checking = Batches(validation, job.pipeline, cache, batch_size=4 * size, max_examples=limit)
        training.prepare()
        checking.prepare()
        return Loader(training, num_workers=data.num_workers), Loader(checking, num_workers=data.num_workers)
