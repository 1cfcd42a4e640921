"""What the examples are and how they are prepared: one component per kind of input, which writes the preprocess.

Every kind names transforms that the bundle will carry, so that serving decodes as training did.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from loopline.core.errors import ConfigError
from loopline.core.records import Component, DatasetManifest, TransformStep
from loopline.networks import NetworkConfig
from loopline.transforms import faster_steps

if TYPE_CHECKING:
    from loopline.snapshots import Snapshot

INPUTS = {
    "bands": "loopline.training.inputs:BandsInput",
    "image": "loopline.training.inputs:ImageInput",
    "text": "loopline.training.text_input:TextInput",
    "values": "loopline.training.inputs:ValuesInput",
}


class InputConfig(Component, ABC):
    """How one kind of input is prepared."""

    # The manifest's word for it.
    input_kind: ClassVar[str]

    @abstractmethod
    def steps(self, manifest: DatasetManifest) -> tuple[TransformStep, ...]:
        """The preprocess of a snapshot's examples; raises `ConfigError` where it does not fit them."""

    def completed(self, network: NetworkConfig) -> Self:
        """This input, with what it leaves open as the network's pretrained weights expect it; most leave nothing open.

        Raises `ConfigError` where something is open and the network has no such weights.
        """
        return self

    def files(self, snapshot: Snapshot, cache: Path) -> dict[str, bytes]:
        """The files that the steps name, made from the snapshot (a tokenizer) or none; `cache` may keep them."""
        return {}


class ImageInput(InputConfig):
    """Pictures of one size. What is null is taken from the record of the network's pretrained weights."""

    name: Literal["image"] = "image"
    input_kind: ClassVar[str] = "image"
    # In pixels.
    height: int | None = Field(default=None, ge=8, le=4096)
    width: int | None = Field(default=None, ge=8, le=4096)
    # `L` is grey, `RGB` colour.
    mode: Literal["L", "RGB"] = "RGB"
    # `stretch` changes the aspect ratio; `cover` keeps it and cuts what stands over.
    fit: Literal["stretch", "cover"] = "stretch"
    resampling: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] | None = "bilinear"
    # `fast` divides large JPEGs while it decodes them and resizes with vector code; pixels differ a little.
    decoding: Literal["exact", "fast"] = "exact"
    # Share of the resized picture's sides that a centred crop keeps.
    crop: float | None = Field(default=1.0, gt=0, le=1)
    # Whose mean and standard deviation: those of the train split, or those of the network's pretrained weights.
    normalization: Literal["dataset", "network"] = "dataset"
    # Per channel, in units of full scale; given ones are used instead.
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def completed(self, network: NetworkConfig) -> Self:
        given: dict[str, object] = {
            "height": self.height,
            "width": self.width,
            "resampling": self.resampling,
            "crop": self.crop,
        }
        if self.normalization == "network":
            given |= {"mean": self.mean, "std": self.std}
        left_open = [key for key, value in given.items() if value is None]
        if not left_open:
            return self
        record = network.pretrained_input()
        if record is None:
            raise ConfigError(
                f"key 'input.{left_open[0]}' has no value, and network '{network.name}' has no record of pretrained "
                "weights to take it from; give it one.",
                next_command=f"loopline train … input.{left_open[0]}=VALUE",
            )
        return self.model_copy(update={key: getattr(record, key) for key in left_open})

    def steps(self, manifest: DatasetManifest) -> tuple[TransformStep, ...]:
        if self.height is None or self.width is None or self.crop is None or self.resampling is None:
            raise ConfigError("input 'image' has no height, width, crop or filter yet; see ImageInput.completed.")
        mean, std = _statistics(manifest, num_channels=1 if self.mode == "L" else 3)
        resize = {
            # As timm computes it.
            "height": math.floor(self.height / self.crop),
            "width": math.floor(self.width / self.crop),
            "fit": self.fit,
            "resampling": self.resampling,
        }
        normalize = {"mean": list(self.mean or mean), "std": list(self.std or std)}
        cropped = TransformStep(name="center_crop", params={"height": self.height, "width": self.width})
        steps = (
            TransformStep(name="decode_image", params={"mode": self.mode}),
            TransformStep(name="resize", params=resize),
            *([cropped] if self.crop < 1 else []),
            TransformStep(name="normalize", params=normalize),
        )
        return faster_steps(steps) if self.decoding == "fast" else steps


class BandsInput(InputConfig):
    """Pictures of spectral bands as reflectance, of the snapshot's size or resized to another."""

    name: Literal["bands"] = "bands"
    input_kind: ClassVar[str] = "bands"
    # In the order of the snapshot's files.
    bands: tuple[str, ...] = ("green", "red", "red_edge", "nir")
    # What is a reflectance of 1; None takes the largest of whole numbers, and floating-point ones as they are.
    full_scale: float | None = Field(default=None, gt=0)
    # Share of a band's pixels that may be at full scale.
    max_saturated: float = Field(default=0.01, ge=0, le=1)
    # In pixels; None keeps those of the snapshot, where all share them.
    height: int | None = Field(default=None, ge=8, le=4096)
    width: int | None = Field(default=None, ge=8, le=4096)
    # `log` takes the logarithm of each band's ratio to the train split's mean, in which light that is stronger by a
    # factor adds a constant; `dataset` subtracts that mean and divides by the standard deviation; `none` leaves
    # reflectance, for networks that compute with it.
    normalization: Literal["log", "dataset", "none"] = "log"

    def steps(self, manifest: DatasetManifest) -> tuple[TransformStep, ...]:
        height, width = (self.height, self.width) if manifest.input_shape is None else manifest.input_shape[:2]
        if height is None or width is None:
            raise ConfigError(
                f"plots of snapshot '{manifest.name}' differ in size, and key 'input.height' or 'input.width' has no "
                "value; give both.",
                next_command="loopline train … input.height=160 input.width=106",
            )
        decode = {"bands": list(self.bands), "full_scale": self.full_scale, "max_saturated": self.max_saturated}
        return (
            TransformStep(name="decode_bands", params=decode),
            TransformStep(name="resize_bands", params={"height": self.height or height, "width": self.width or width}),
            self._normalized(manifest),
        )

    def _normalized(self, manifest: DatasetManifest) -> TransformStep:
        if self.normalization == "none" or manifest.statistics is None:
            number = len(self.bands)
            return TransformStep(name="normalize_bands", params={"mean": [0.0] * number, "std": [1.0] * number})
        mean, std = list(manifest.statistics.mean), [value or 1.0 for value in manifest.statistics.std]
        if self.normalization == "log":
            return TransformStep(name="log_bands", params={"mean": mean})
        return TransformStep(name="normalize_bands", params={"mean": mean, "std": std})


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
