"""`Signature`: what a run's network takes and gives, so that export and evaluation need not ask the training code."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from loopline.core.records.bundle import TransformStep
from loopline.core.records.dataset import InputKind, Task
from loopline.core.records.record import Record
from loopline.core.records.run import DatasetRef


class Signature(Record):
    """`signature.json` of a training run: preprocess, network input (C, H, W), outputs and their names."""

    schema_version: Literal[1] = 1
    task: Task
    input_kind: InputKind
    dataset: DatasetRef
    preprocess: tuple[TransformStep, ...] = Field(min_length=1)
    # (channels, height, width) of one preprocessed image.
    input_shape: tuple[int, ...]
    num_outputs: int = Field(ge=1)
    label_names: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _labels_agree(self) -> Self:
        if self.label_names and len(self.label_names) != self.num_outputs:
            raise ValueError(f"{self.num_outputs} outputs for {len(self.label_names)} label names")
        return self
