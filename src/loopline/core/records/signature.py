"""`Signature`: what a run's network takes and gives, so that export and evaluation need not ask the training code."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from loopline.core.records.bundle import TransformStep
from loopline.core.records.dataset import InputKind, Task
from loopline.core.records.record import Record
from loopline.core.records.run import DatasetRef


class Signature(Record):
    """`signature.json` of a training run: what surrounds its network, from raw bytes to an answer."""

    schema_version: Literal[1] = 1
    task: Task
    input_kind: InputKind
    dataset: DatasetRef
    preprocess: tuple[TransformStep, ...] = Field(min_length=1)
    # From the network's outputs to those that a person asked for.
    postprocess: tuple[TransformStep, ...] = (TransformStep(name="softmax"),)
    # Of one preprocessed example: (channels, height, width) of a picture; empty where lengths vary, as texts' do.
    input_shape: tuple[int, ...]
    num_outputs: int = Field(ge=1)
    label_names: tuple[str, ...] = ()
    # Of the target, where it is a quantity, as `kg N/ha`.
    unit: str | None = None
    # Files in the run's folder `files` that the preprocess names, such as a tokenizer.
    files: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _labels_agree(self) -> Self:
        if self.label_names and len(self.label_names) != self.num_outputs:
            raise ValueError(f"{self.num_outputs} outputs for {len(self.label_names)} label names")
        return self
