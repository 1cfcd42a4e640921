"""Lists of transforms that agree with each other, built from what a bundle or a configuration stores.

N examples, H height, W width, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import ConfigError
from loopline.core.records import TransformStep
from loopline.transforms.image import CenterCrop, DecodeImage, Normalize, Pixels, Resize
from loopline.transforms.outputs import Outputs, Softmax
from loopline.transforms.step import build_transform, describe

TRANSFORMS = {
    "decode_image": "loopline.transforms.image:DecodeImage",
    "resize": "loopline.transforms.image:Resize",
    "center_crop": "loopline.transforms.image:CenterCrop",
    "normalize": "loopline.transforms.image:Normalize",
}
POSTPROCESSES = {
    "softmax": "loopline.transforms.outputs:Softmax",
}


@dataclass(frozen=True)
class Pipeline:
    """A preprocess: `decode` takes one example's raw bytes, `collate` a batch of what `decode` returned.

    The steps are complete: every parameter that was left out stands in them with its default. Thread-safe, picklable.
    """

    decoder: DecodeImage
    geometry: tuple[Resize | CenterCrop, ...]
    normalize: Normalize
    sample_steps: tuple[TransformStep, ...]
    batch_steps: tuple[TransformStep, ...]

    @property
    def steps(self) -> tuple[TransformStep, ...]:
        """All steps, as a bundle stores them."""
        return (*self.sample_steps, *self.batch_steps)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every array that `decode` returns."""
        last = self.geometry[-1]
        return (last.height, last.width, self.decoder.num_channels)

    def decode(self, raw: bytes) -> Pixels:
        """Raw bytes of one file to x_HWC uint8 of `shape`; raises `InvalidExample`, and nothing else."""
        return self._reshape(self.decoder(raw))

    def from_array(self, values: Any) -> Pixels:
        """Pixel values that are decoded already (array or nested lists, 0 to 255) to x_HWC uint8 of `shape`.

        They enter after the decoder: geometry still applies. Raises `InvalidExample`, and nothing else.
        """
        return self._reshape(self.decoder.from_array(values))

    def collate(self, x_NHWC: Pixels) -> NDArray[np.float32]:
        """A batch of decoded examples to the x_NCHW float32 that the network takes; contiguous."""
        return self.normalize(x_NHWC)

    def _reshape(self, x_HWC: Pixels) -> Pixels:
        for transform in self.geometry:
            x_HWC = transform(x_HWC)
        return x_HWC


@dataclass(frozen=True)
class Postprocess:
    """From the graph's outputs by name to those and the derived ones."""

    transforms: tuple[Softmax, ...]
    steps: tuple[TransformStep, ...]

    def __call__(self, outputs: Outputs) -> Outputs:
        """Applies every step in order; the given dictionary stays as it is."""
        for transform in self.transforms:
            outputs = transform(outputs)
        return outputs


def build_pipeline(steps: Sequence[TransformStep]) -> Pipeline:
    """The pipeline of `decode_image`, then at least one of `resize` and `center_crop`, then `normalize`.

    Raises `UnknownName` for a transform that does not exist and `ConfigError` for a wrong parameter, a wrong order, or
    channels that do not agree.
    """
    transforms = [build_transform(TRANSFORMS, step) for step in steps]
    order = " → ".join(step.name for step in steps) or "none"
    if len(transforms) < 3:
        raise ConfigError(f"steps {order} given; expected decode_image → resize or center_crop → normalize.")
    decoder, *middle, normalize = transforms
    geometry = tuple(transform for transform in middle if isinstance(transform, Resize | CenterCrop))
    if not isinstance(decoder, DecodeImage) or not isinstance(normalize, Normalize) or len(geometry) != len(middle):
        raise ConfigError(f"steps {order} given; expected decode_image → resize or center_crop → normalize.")
    if len(normalize.mean) != decoder.num_channels:
        raise ConfigError(
            f"normalize has {len(normalize.mean)} means for mode '{decoder.mode}'; expected {decoder.num_channels}."
        )
    complete = tuple(describe(step.name, transform) for step, transform in zip(steps, transforms, strict=True))
    return Pipeline(decoder, geometry, normalize, sample_steps=complete[:-1], batch_steps=complete[-1:])


def build_postprocess(steps: Sequence[TransformStep]) -> Postprocess:
    """The postprocess that the steps describe; raises `UnknownName` and `ConfigError` as `build_pipeline` does."""
    transforms = [build_transform(POSTPROCESSES, step) for step in steps]
    softmaxes = tuple(transform for transform in transforms if isinstance(transform, Softmax))
    return Postprocess(softmaxes, tuple(map(describe, (step.name for step in steps), transforms)))


def image_steps(
    *, height: int, width: int, mode: Literal["L", "RGB"], mean: Sequence[float], std: Sequence[float]
) -> tuple[TransformStep, ...]:
    """The standard preprocess: decode, stretch to `height` × `width`, normalize per channel (full scale 1)."""
    steps = (
        TransformStep(name="decode_image", params={"mode": mode}),
        TransformStep(name="resize", params={"height": height, "width": width}),
        TransformStep(name="normalize", params={"mean": list(mean), "std": list(std)}),
    )
    return build_pipeline(steps).steps
