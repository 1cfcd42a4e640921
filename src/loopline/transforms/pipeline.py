"""Lists of transforms that agree with each other, built from what a bundle or a configuration stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import ConfigError
from loopline.core.records import TransformStep
from loopline.transforms.step import (
    Array,
    BatchTransform,
    Decode,
    Outputs,
    OutputTransform,
    SampleTransform,
    Shape,
    build_transform,
    describe,
)

TRANSFORMS = {
    "decode_bands": "loopline.transforms.bands:DecodeBands",
    "resize_bands": "loopline.transforms.bands:ResizeBands",
    "normalize_bands": "loopline.transforms.bands:NormalizeBands",
    "log_bands": "loopline.transforms.bands:LogBands",
    "decode_image": "loopline.transforms.image:DecodeImage",
    "resize": "loopline.transforms.image:Resize",
    "center_crop": "loopline.transforms.image:CenterCrop",
    "normalize": "loopline.transforms.image:Normalize",
    "decode_values": "loopline.transforms.values:DecodeValues",
    "standardize": "loopline.transforms.values:Standardize",
    "tokenize_text": "loopline.transforms.text:TokenizeText",
}
POSTPROCESSES = {
    "softmax": "loopline.transforms.outputs:Softmax",
    "affine": "loopline.transforms.outputs:Affine",
    "clip": "loopline.transforms.outputs:Clip",
    "interval": "loopline.transforms.outputs:Interval",
}


@dataclass(frozen=True)
class Pipeline:
    """A preprocess: `decode` takes one example's raw bytes, `collate` a batch of what `decode` returned.

    The steps are complete: every parameter that was left out stands in them with its default. Thread-safe, picklable.
    """

    decoder: Decode
    sample_transforms: tuple[SampleTransform, ...]
    batch_transforms: tuple[BatchTransform, ...]
    sample_steps: tuple[TransformStep, ...]
    batch_steps: tuple[TransformStep, ...]
    # Of what `decode` returns, and of what the network takes, without the batch axis; with None for a free length
    # where the decoder is ragged, and nowhere else.
    free_shape: Shape
    free_input_shape: Shape

    @property
    def steps(self) -> tuple[TransformStep, ...]:
        """All steps, as a bundle stores them."""
        return (*self.sample_steps, *self.batch_steps)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type of what `decode` returns."""
        return np.dtype(self.decoder.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """The axes of every array that `decode` returns, as (H, W, C); only where the decoder is not ragged."""
        return _fixed(self.free_shape)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The axes of one example as the network takes it, as (C, H, W); only where the decoder is not ragged."""
        return _fixed(self.free_input_shape)

    def decode(self, raw: bytes) -> Array:
        """Raw bytes of one example to an array of `shape` and `dtype`; raises `InvalidExample`, and nothing else."""
        return self._transformed(self.decoder(raw))

    def from_array(self, values: Any) -> Array:
        """What a client sent as plain values (nested lists of numbers, a text) to the array that `decode` gives.

        It enters after the decoder: sample transforms still apply. Raises `InvalidExample`, and nothing else.
        """
        return self._transformed(self.decoder.from_array(values))

    def collate(self, x_N: Array) -> NDArray[np.float32]:
        """A stacked batch of decoded examples to the float32 that the network takes; contiguous and writable."""
        for transform in self.batch_transforms:
            x_N = transform(x_N)
        x_N = np.ascontiguousarray(x_N, dtype=np.float32)
        # Without a transform it may still be part of a read-only map, which torch does not take.
        return x_N if x_N.flags.writeable else x_N.copy()

    def _transformed(self, x: Array) -> Array:
        for transform in self.sample_transforms:
            x = transform(x)
        return x


@dataclass(frozen=True)
class Postprocess:
    """From the graph's outputs by name to those and the derived ones."""

    transforms: tuple[OutputTransform, ...]
    steps: tuple[TransformStep, ...]

    def __call__(self, outputs: Outputs) -> Outputs:
        """Applies every step in order; the given dictionary stays as it is."""
        for transform in self.transforms:
            outputs = transform(outputs)
        return outputs


def build_pipeline(steps: Sequence[TransformStep], files: Mapping[str, bytes] | None = None) -> Pipeline:
    """The pipeline of a decoder, then transforms of one example, then transforms of a batch.

    `files` are the bundle's by name, for transforms that need one. Raises `UnknownName` for a transform that does not
    exist and `ConfigError` for a wrong parameter, a wrong order, or a shape that a transform cannot take.
    """
    transforms = [build_transform(TRANSFORMS, step).bound(files or {}) for step in steps]
    decoder = transforms[0] if transforms else None
    samples = tuple(transform for transform in transforms if isinstance(transform, SampleTransform))
    batches = tuple(transform for transform in transforms if isinstance(transform, BatchTransform))
    if not isinstance(decoder, Decode) or [decoder, *samples, *batches] != transforms:
        order = " → ".join(step.name for step in steps) or "none"
        raise ConfigError(
            f"steps {order} given; expected a decoder, then transforms of one example, then of a batch, as in "
            "decode_image → resize → normalize."
        )
    shape: Shape = decoder.shape
    for transform in samples:
        shape = transform.output_shape(shape)
    if None in shape and not decoder.is_ragged:
        raise ConfigError(
            f"after {' → '.join(step.name for step in steps[: 1 + len(samples)])} examples differ in size; expected a "
            "step that gives all the same, as resize does."
        )
    input_shape = shape
    for each in batches:
        input_shape = each.output_shape(input_shape)
    complete = tuple(describe(step.name, transform) for step, transform in zip(steps, transforms, strict=True))
    after = 1 + len(samples)
    return Pipeline(decoder, samples, batches, complete[:after], complete[after:], shape, input_shape)


def build_postprocess(steps: Sequence[TransformStep]) -> Postprocess:
    """The postprocess that the steps describe; raises `UnknownName` and `ConfigError` as `build_pipeline` does."""
    transforms = [build_transform(POSTPROCESSES, step) for step in steps]
    outputs = tuple(transform for transform in transforms if isinstance(transform, OutputTransform))
    if len(outputs) != len(transforms):
        order = " → ".join(step.name for step in steps)
        raise ConfigError(f"steps {order} given; expected transforms of outputs only.")
    return Postprocess(outputs, tuple(map(describe, (step.name for step in steps), transforms)))


def image_steps(
    *, height: int, width: int, mode: Literal["L", "RGB"], mean: Sequence[float], std: Sequence[float]
) -> tuple[TransformStep, ...]:
    """The standard preprocess of pictures: decode, stretch to `height` × `width`, normalize per channel."""
    steps = (
        TransformStep(name="decode_image", params={"mode": mode}),
        TransformStep(name="resize", params={"height": height, "width": width}),
        TransformStep(name="normalize", params={"mean": list(mean), "std": list(std)}),
    )
    return build_pipeline(steps).steps


def faster_steps(steps: Sequence[TransformStep]) -> tuple[TransformStep, ...]:
    """The same preprocess of pictures, with the quick ways chosen: JPEGs divided while decoded, vector code to resize.

    Pixels differ a little from those of `steps`, so a network is judged again with them. Other kinds stay as they are.
    """
    sizes = [step.params for step in steps if step.name == "resize"]
    if not sizes:
        return tuple(steps)
    added: dict[str, dict[str, Any]] = {
        "decode_image": {"shrink_to": [sizes[0]["height"], sizes[0]["width"]]},
        "resize": {"kernel": "simd"},
    }
    return tuple(TransformStep(name=step.name, params={**step.params, **added.get(step.name, {})}) for step in steps)


def _fixed(shape: Shape) -> tuple[int, ...]:
    lengths = tuple(length for length in shape if length is not None)
    if len(lengths) != len(shape):
        raise ConfigError("these examples differ in length; expected a decoder that gives all the same shape.")
    return lengths
