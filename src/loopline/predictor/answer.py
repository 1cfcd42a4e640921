"""The seam between whoever has inputs and whoever predicts: an answer, and what can be asked for one.

H height, W width, C channels, K classes, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from loopline.core.records import ModelBundle


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says about one example."""

    # The likeliest label and its probability.
    label: str
    value: float
    # float32 of K, in the order of the bundle's label names.
    probabilities: NDArray[np.float32]
    # float32 of D.
    embedding: NDArray[np.float32]

    def top(self, num_labels: int, label_names: Sequence[str]) -> list[tuple[str, float]]:
        """The likeliest labels with their probabilities, likeliest first; ties in the order of the labels."""
        order = np.argsort(-self.probabilities, kind="stable")[:num_labels]
        return [(label_names[index], float(self.probabilities[index])) for index in order]


class PredictorLike(Protocol):
    """Anything that answers as `Predictor` does; tests and other engines bring their own. All of it is thread-safe."""

    @property
    def bundle(self) -> ModelBundle:
        """The bundle that answers."""

    @property
    def folder(self) -> Path:
        """The bundle's folder."""

    def decode(self, raw: bytes) -> NDArray[np.uint8]:
        """One file's bytes to x_HWC uint8; raises `InvalidExample`."""

    def from_array(self, values: Any) -> NDArray[np.uint8]:
        """Pixel values, 0 to 255, to x_HWC uint8; raises `InvalidExample`."""

    def predict(self, samples: Sequence[NDArray[np.uint8]]) -> list[Answer]:
        """Decoded examples to answers in their order."""

    def predict_raw(self, raws: Sequence[bytes]) -> list[Answer]:
        """Files' bytes to answers in their order; raises `InvalidExample` for the first that is none."""

    def verify(self) -> None:
        """Predicts the raw reference inputs; raises `SkewError` where they do not give the expected outputs."""
