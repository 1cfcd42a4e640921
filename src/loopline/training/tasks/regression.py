"""Regression: one quantity, learnt in units of the train split's spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from loopline.core.records import Task
from loopline.training.tasks.task import Direction, TaskConfig


class RegressionConfig(TaskConfig):
    """One number per example.

    The network learns (target − mean) / standard deviation of the train split; the bundle's postprocess turns its
    output back into the target's unit. MAE and RMSE are in that unit, the loss is in standard deviations.
    """

    name: Literal["regression"] = "regression"
    task: ClassVar[Task] = "regression"
    metrics: ClassVar[Mapping[str, Direction]] = {"loss": "min", "mae": "min", "rmse": "min"}
    primary_metric: ClassVar[str] = "mae"
    module: ClassVar[str] = "loopline.training.modules.regression:Regression"
    loss: Literal["l1", "huber", "mse"] = "l1"
    # Where Huber's loss turns from squares to absolute values, in standard deviations of the target.
    huber_delta: float = Field(default=0.5, gt=0)
    # The least value that the target can have: predictions below it are raised to it.
    minimum: float | None = None
    # Of the target, as `kg N/ha`; for people.
    unit: str | None = None
