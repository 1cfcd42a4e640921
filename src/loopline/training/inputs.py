"""What the examples are and how they are prepared: one component per kind of input, which writes the preprocess.

Every kind names transforms that the bundle will carry, so that serving decodes as training did.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from loopline.core.errors import ConfigError
from loopline.core.records import Component, DatasetManifest, TransformStep
from loopline.transforms import image_steps

if TYPE_CHECKING:
    from loopline.snapshots import Snapshot

INPUTS = {
    "image": "loopline.training.inputs:ImageInput",
    "values": "loopline.training.inputs:ValuesInput",
}


class InputConfig(Component, ABC):
    """How one kind of input is prepared."""

    # The manifest's word for it.
    input_kind: ClassVar[str]

    @abstractmethod
    def steps(self, manifest: DatasetManifest) -> tuple[TransformStep, ...]:
        """The preprocess of a snapshot's examples; raises `ConfigError` where it does not fit them."""

    def files(self, snapshot: Snapshot, cache: Path) -> dict[str, bytes]:
        """The files that the steps name, made from the snapshot (a tokenizer) or none; `cache` may keep them."""
        return {}


class ImageInput(InputConfig):
    """Pictures, stretched to one size, normalized by the train split's mean and standard deviation per channel."""

    name: Literal["image"] = "image"
    input_kind: ClassVar[str] = "image"
    # In pixels.
    height: int = Field(ge=8, le=4096)
    width: int = Field(ge=8, le=4096)
    # `L` is grey, `RGB` colour.
    mode: Literal["L", "RGB"] = "RGB"

    def steps(self, manifest: DatasetManifest) -> tuple[TransformStep, ...]:
        mean, std = _statistics(manifest, num_channels=1 if self.mode == "L" else 3)
        return image_steps(height=self.height, width=self.width, mode=self.mode, mean=mean, std=std)


class ValuesInput(InputConfig):
    """Rows of numbers, each feature standardized by the train split's mean and standard deviation."""

    name: Literal["values"] = "values"
    input_kind: ClassVar[str] = "values"

    def steps(self, manifest: DatasetManifest) -> tuple[TransformStep, ...]:
        if manifest.input_shape is None or manifest.statistics is None:
            raise ConfigError(
                f"snapshot '{manifest.name}' holds rows of different lengths; expected as many numbers in each.",
                next_command=f"loopline data show {manifest.name}",
            )
        std = [value or 1.0 for value in manifest.statistics.std]
        return (
            TransformStep(name="decode_values", params={"size": list(manifest.input_shape)}),
            TransformStep(name="standardize", params={"mean": list(manifest.statistics.mean), "std": std}),
        )


def _statistics(manifest: DatasetManifest, *, num_channels: int) -> tuple[list[float], list[float]]:
    statistics = manifest.statistics
    if statistics is None:
        return [0.5] * num_channels, [0.25] * num_channels
    if len(statistics.mean) == num_channels:
        return list(statistics.mean), list(statistics.std)
    return (
        [sum(statistics.mean) / len(statistics.mean)] * num_channels,
        [sum(statistics.std) / len(statistics.std)] * num_channels,
    )
