"""The seam between whoever has inputs and whoever predicts: an answer, and what can be asked for one.

N examples, K outputs (probabilities of the labels; a value and its interval; features of a text), D embedding.
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
    """What a model says about one example; each task has its own kind."""

    # As the prediction log keeps it: the label, the value, the text.
    predicted: str
    # float32 of K, in the order of the predictor's output names.
    outputs: NDArray[np.float32]
    # float32 of D.
    embedding: NDArray[np.float32]


class LabelAnswer(Answer):
    """A class: the outputs are the probabilities of the bundle's label names."""

    @property
    def label(self) -> str:
        """The likeliest label."""
        return self.predicted

    @property
    def confidence(self) -> float:
        """Its probability."""
        return float(self.outputs.max())

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """float32 of K, in the order of the bundle's label names."""
        return self.outputs

    def top(self, num_labels: int, label_names: Sequence[str]) -> list[tuple[str, float]]:
        """The likeliest labels with their probabilities, likeliest first; ties in the order of the labels."""
        # In Python: NumPy hands the interpreter to other threads while it sorts, and having it back can take longer.
        probabilities = self.outputs.tolist()
        order = sorted(range(len(probabilities)), key=probabilities.__getitem__, reverse=True)[:num_labels]
        return [(label_names[index], probabilities[index]) for index in order]


class ValueAnswer(Answer):
    """A quantity in the bundle's unit: the outputs are `value` and, where the bundle knows an interval, its ends."""

    @property
    def value(self) -> float:
        """The predicted quantity."""
        return float(self.outputs[0])

    @property
    def interval(self) -> tuple[float, float] | None:
        """The ends of the interval that the bundle's postprocess states, or None where it states none."""
        return (float(self.outputs[1]), float(self.outputs[2])) if len(self.outputs) == 3 else None


class TextAnswer(Answer):
    """A text; the outputs are features of the question and the answer, for the log and for drift."""

    @property
    def text(self) -> str:
        """The text."""
        return self.predicted


@dataclass(frozen=True, eq=False)
class Predicted:
    """The answers to a whole split, in its order and in columns."""

    # The K names of the outputs.
    names: tuple[str, ...]
    outputs_NK: NDArray[np.float32]
    embedding_ND: NDArray[np.float32]
    # N texts where the task gives texts, else none.
    texts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.outputs_NK)


class PredictorLike(Protocol):
    """Anything that answers as `Predictor` does; tests and other engines bring their own. All of it is thread-safe."""

    @property
    def bundle(self) -> ModelBundle:
        """The bundle that answers."""

    @property
    def folder(self) -> Path:
        """The bundle's folder."""

    @property
    def is_verified(self) -> bool:
        """Whether `verify` found everything, or the part that it was asked for, as it should be."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of an answer's outputs."""

    def decode(self, raw: bytes) -> Any:
        """One example's bytes to what `predict` takes; raises `InvalidExample`."""

    def from_array(self, values: Any) -> Any:
        """Plain values of JSON (numbers, a text) to what `predict` takes; raises `InvalidExample`."""

    def join(self, files: Sequence[tuple[str, bytes]]) -> bytes:
        """The bytes of one example that came as several named files; raises `InvalidExample`."""

    def predict(self, samples: Sequence[Any]) -> Sequence[Answer]:
        """Decoded examples to answers in their order."""

    def predict_raw(self, raws: Sequence[bytes]) -> Sequence[Answer]:
        """Examples' bytes to answers in their order; raises `InvalidExample` for the first that is none."""

    def verify(self, *, part: int = 0, num_parts: int = 1) -> None:
        """Predicts the raw reference inputs; raises `SkewError` where they do not give the expected outputs.

        Of several that check the same bundle on one machine, each may take a part.
        """
