"""What transforms to mean 0 and deviation 1 have in common: their parameters and the rules of these."""

from __future__ import annotations

from abc import ABC
from typing import Self

from pydantic import Field, model_validator

from loopline.transforms.step import BatchTransform


class Standardization(BatchTransform, ABC):
    """A mean and a standard deviation for each of what a batch's examples consist of."""

    mean: tuple[float, ...] = Field(min_length=1)
    std: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _parameters_agree(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError(f"{len(self.mean)} means but {len(self.std)} standard deviations")
        if min(self.std) <= 0:
            raise ValueError("every standard deviation must be greater than 0")
        return self
