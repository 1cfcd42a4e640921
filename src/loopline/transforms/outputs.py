"""What a graph returns to what a person asked for. N examples, K classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from loopline.core.errors import ConfigError
from loopline.transforms.step import Transform

Outputs = dict[str, NDArray[np.float32]]


class Softmax(Transform):
    """Adds `output` = softmax(`input` / `temperature`) over the last axis; float32, rows sum to 1."""

    input: str = "logits"
    output: str = "probability"
    temperature: float = Field(default=1.0, gt=0)

    def __call__(self, outputs: Outputs) -> Outputs:
        """Computes in float64, because a sum over many float32 classes would not be 1 in the sixth digit."""
        if self.input not in outputs:
            raise ConfigError(f"softmax.input: '{self.input}' given; the graph returns {', '.join(outputs)}.")
        scaled_NK = outputs[self.input].astype(np.float64) / self.temperature
        exp_NK = np.exp(scaled_NK - scaled_NK.max(axis=-1, keepdims=True))
        return {**outputs, self.output: (exp_NK / exp_NK.sum(axis=-1, keepdims=True)).astype(np.float32)}
