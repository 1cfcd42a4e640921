"""What every task is to a configuration: its parameters, and the name of what trains it. No data, no Lightning."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import ClassVar, Literal

from loopline.core.records import Component, Task

Direction = Literal["min", "max"]


class TaskConfig(Component, ABC):
    """A task's parameters."""

    # The manifest's word for it.
    task: ClassVar[Task]
    # What is measured on each split, and whether less or more of it is better.
    metrics: ClassVar[Mapping[str, Direction]]
    # The one that chooses the best checkpoint, unless the configuration names another.
    primary_metric: ClassVar[str]
    # The import string of its `TrainingModule`, which is imported when training begins.
    module: ClassVar[str]
