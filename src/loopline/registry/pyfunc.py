"""How `mlflow.pyfunc.load_model("models:/fashion@champion")` opens a bundle: MLflow calls `_load_pyfunc`.

The bundle is opened by the predictor that serves it, reference inputs first; nothing in it is unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loopline.core.errors import InputError
from loopline.core.records import ModelBundle
from loopline.predictor import Answer, LabelAnswer, PredictorLike, ValueAnswer, open_predictor

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

# Input kinds whose cells are plain values; the cells of every other hold the bytes of a file.
_PLAIN_KINDS = ("text", "values")
# Columns of words; every other one that comes back is numbers.
_WORDS = ("label", "text")


class BundleModel:
    """A bundle behind MLflow's `predict`."""

    def __init__(self, predictor: PredictorLike) -> None:
        self.predictor = predictor

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """A data frame with one column named as the bundle's input kind, or a list, to a frame with a row for each.

        A cell is a file's bytes, a text, or nested lists of numbers. The columns that come back are `label` and one
        `probability_LABEL` each, or `value` with `low` and `high`, or `text`. Raises `InvalidExample` for the first
        cell that cannot be decoded.
        """
        import pandas as pd  # type: ignore[import-untyped] # MLflow brings it, without stubs

        if params:
            raise InputError(f"parameters {', '.join(sorted(params))} given; expected none.")
        bundle = self.predictor.bundle
        decode = self._from_cell if bundle.input_kind in _PLAIN_KINDS else self.predictor.decode
        answers = self.predictor.predict([decode(cell) for cell in _cells(model_input, bundle.input_kind)])
        return pd.DataFrame([_row(answer) for answer in answers], columns=_columns(bundle))

    def _from_cell(self, cell: Any) -> Any:
        return self.predictor.from_array(_plain(cell))


def model_signature(bundle: ModelBundle) -> ModelSignature:
    """What MLflow must know to serve a bundle: `mlflow models serve` reads from it that a column comes in base64."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    kind: Any = DataType.string if bundle.input_kind == "text" else DataType.binary
    if bundle.input_kind == "values":
        kind = DataType.double
        for _axis in bundle.inputs[0].shape[1:]:
            kind = Array(kind)
    outputs: list[Any] = [
        ColSpec(DataType.string if name in _WORDS else DataType.double, name) for name in _columns(bundle)
    ]
    return ModelSignature(inputs=Schema([ColSpec(kind, bundle.input_kind)]), outputs=Schema(outputs))


def _columns(bundle: ModelBundle) -> list[str]:
    """The columns that come back, in their order."""
    if bundle.task == "classification":
        return ["label", *(f"probability_{label}" for label in bundle.label_names)]
    if bundle.task == "translation":
        return ["text"]
    has_interval = any(step.name == "interval" for step in bundle.postprocess)
    return ["value", "low", "high"] if has_interval else ["value"]


def _row(answer: Answer) -> tuple[Any, ...]:
    if isinstance(answer, LabelAnswer):
        return (answer.label, *answer.probabilities.tolist())
    if isinstance(answer, ValueAnswer):
        return tuple(answer.outputs.tolist())
    return (answer.predicted,)


def _cells(model_input: Any, column: str) -> Sequence[Any]:
    if not hasattr(model_input, "columns"):
        return list(model_input)
    if list(model_input.columns) != [column]:
        given = ", ".join(map(str, model_input.columns))
        raise InputError(f"a frame with the columns {given} given; expected one column '{column}'.")
    return list(model_input[column])


def _plain(cell: Any) -> Any:
    """A cell without NumPy: MLflow makes nested lists of a column into arrays of arrays."""
    if isinstance(cell, np.ndarray | list):
        return [_plain(each) for each in cell]
    return cell


def _load_pyfunc(path: str) -> BundleModel:
    return BundleModel(open_predictor(Path(path)))
