"""What a graph returns to what a person asked for. N examples, K classes or values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from loopline.core.errors import ConfigError
from loopline.transforms.step import Array, Outputs, OutputTransform

# What a network's first output is called, by task; the second is always `embedding`.
HEADS = {"classification": "logits", "regression": "value"}
# What a regression answers with; the last two where its postprocess has an `interval`.
_VALUE_NAMES = ("value", "low", "high")


class Softmax(OutputTransform):
    """Adds `output` = softmax(`input` / `temperature`) over the last axis; float32, rows sum to 1."""

    input: str = "logits"
    output: str = "probability"
    temperature: float = Field(default=1.0, gt=0)

    def __call__(self, outputs: Outputs) -> Outputs:
        """Computes in float64, because a sum over many float32 classes would not be 1 in the sixth digit."""
        scaled_NK = _input(self, outputs).astype(np.float64) / self.temperature
        exp_NK = np.exp(scaled_NK - scaled_NK.max(axis=-1, keepdims=True))
        return {**outputs, self.output: (exp_NK / exp_NK.sum(axis=-1, keepdims=True)).astype(np.float32)}


class Affine(OutputTransform):
    """Adds `output` = `scale` × `input` + `offset`: from the units that a network learns in to those of the target."""

    input: str = "value"
    output: str = "value"
    scale: float = Field(default=1.0, gt=0)
    offset: float = 0.0

    def __call__(self, outputs: Outputs) -> Outputs:
        """Computes in float64, rounded once."""
        value_N1 = self.scale * _input(self, outputs).astype(np.float64) + self.offset
        return {**outputs, self.output: value_N1.astype(np.float32)}


class Clip(OutputTransform):
    """Adds `output` = `input`, moved into [`minimum`, `maximum`]; an end that is not given is open."""

    input: str = "value"
    output: str = "value"
    minimum: float | None = None
    maximum: float | None = None

    def __call__(self, outputs: Outputs) -> Outputs:
        """Clips; with neither end given nothing changes."""
        value_N1 = _input(self, outputs)
        if self.minimum is not None:
            value_N1 = np.maximum(value_N1, np.float32(self.minimum))
        if self.maximum is not None:
            value_N1 = np.minimum(value_N1, np.float32(self.maximum))
        return {**outputs, self.output: value_N1}


class Interval(OutputTransform):
    """Adds `low` and `high`, `radius` below and above `input`, where `coverage` is the share of truths between them.

    The radius is that of split conformal prediction (Lei, G'Sell, Rinaldo, Tibshirani and Wasserman, Distribution-Free
    Predictive Inference for Regression, JASA 2018): see `loopline.metrics.conformal_radius`.
    """

    input: str = "value"
    radius: float = Field(ge=0)
    coverage: float = Field(gt=0, lt=1)
    # The target knows no smaller value.
    minimum: float | None = None

    def __call__(self, outputs: Outputs) -> Outputs:
        """Adds the two ends; `low` is not below `minimum`."""
        value_N1 = _input(self, outputs)
        low_N1 = value_N1 - np.float32(self.radius)
        if self.minimum is not None:
            low_N1 = np.maximum(low_N1, np.float32(self.minimum))
        return {**outputs, "low": low_N1, "high": value_N1 + np.float32(self.radius)}


def answer_outputs(
    task: str, outputs: Outputs, label_names: Sequence[str]
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """The names and the (N, K) values of an answer's outputs, from what the postprocess gave.

    Probabilities by label name for classification; `value`, and `low` and `high` where there are, for regression.
    Raises `ConfigError` where the postprocess gives none.
    """
    if task == "classification":
        if "probability" not in outputs:
            raise ConfigError(f"the postprocess gives {', '.join(outputs)}; expected 'probability', as softmax gives.")
        return tuple(label_names), outputs["probability"]
    names = tuple(name for name in _VALUE_NAMES if name in outputs)
    if "value" not in names:
        raise ConfigError(f"the postprocess gives {', '.join(outputs)}; expected 'value'.")
    return names, np.concatenate([outputs[name] for name in names], axis=1)


def _input(transform: Softmax | Affine | Clip | Interval, outputs: Outputs) -> Array:
    if transform.input not in outputs:
        name = type(transform).__name__.lower()
        raise ConfigError(f"{name}.input: '{transform.input}' given; there is {', '.join(outputs)}.")
    return outputs[transform.input]
