"""Translation: one text into another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from loopline.core.records import Task
from loopline.training.tasks.task import Direction, TaskConfig


class TranslationConfig(TaskConfig):
    """One text into another, learnt from pairs.

    `data.batch_size` counts tokens: of the longer side of a batch, padding included. The validation split is translated
    after every epoch and scored by sacreBLEU; the loss is the mean over tokens, in nats.
    """

    name: Literal["translation"] = "translation"
    task: ClassVar[Task] = "translation"
    metrics: ClassVar[Mapping[str, Direction]] = {"loss": "min", "bleu": "max", "chrf": "max"}
    primary_metric: ClassVar[str] = "bleu"
    module: ClassVar[str] = "loopline.training.modules.translation:Translation"
    # Share of each token that is spread over all pieces.
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    # Hypotheses that are followed while training is validated; 1 is greedy, and quick.
    validation_beam_size: int = Field(default=1, ge=1, le=32)
    # As the bundle will search; see `loopline.transforms.text.BeamSearch`.
    beam_size: int = Field(default=4, ge=1, le=32)
    length_penalty: float = Field(default=1.0, ge=0)
    max_ratio: float = Field(default=2.0, gt=0)
