"""What is tested of a model's answers, by its task. N examples, K outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import ConfigError
from loopline.core.records import Task

Outputs = NDArray[np.float32]


@dataclass(frozen=True)
class Feature:
    """One column of what is tested: a number of each example, or the index of its label where there are names."""

    name: str
    column_N: NDArray[Any]
    label_names: tuple[str, ...] = ()


def answer_features(task: Task, outputs_NK: Outputs, names: Sequence[str]) -> list[Feature]:
    """The features of answers whose outputs have these names.

    Labels and confidence of a classifier; the value of a regressor, whose interval moves with it; every feature that a
    translator's predictor computes of a text. Raises `ConfigError` where the outputs are not the task's.
    """
    return _FEATURES[task](outputs_NK, tuple(names))


def _of_labels(outputs_NK: Outputs, names: tuple[str, ...]) -> list[Feature]:
    return [
        Feature("predicted labels", outputs_NK.argmax(axis=1), names),
        Feature("confidence", outputs_NK.max(axis=1)),
    ]


def _of_value(outputs_NK: Outputs, names: tuple[str, ...]) -> list[Feature]:
    if "value" not in names:
        raise ConfigError(f"a regressor's outputs are {', '.join(names)}; expected 'value' among them.")
    return [Feature("predicted value", outputs_NK[:, names.index("value")])]


def _of_text(outputs_NK: Outputs, names: tuple[str, ...]) -> list[Feature]:
    return [Feature(name.replace("_", " "), outputs_NK[:, index]) for index, name in enumerate(names)]


_FEATURES: dict[Task, Callable[[Outputs, tuple[str, ...]], list[Feature]]] = {
    "classification": _of_labels,
    "regression": _of_value,
    "translation": _of_text,
}
