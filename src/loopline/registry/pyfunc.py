"""How `mlflow.pyfunc.load_model("models:/fashion@champion")` opens a bundle: MLflow calls `_load_pyfunc`.

The bundle is opened by the predictor that serves it, reference inputs first; nothing in it is unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loopline.core.errors import InputError
from loopline.predictor import PredictorLike, open_predictor


class BundleModel:
    """A bundle behind MLflow's `predict`."""

    def __init__(self, predictor: PredictorLike) -> None:
        self.predictor = predictor

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """A data frame with a column `image` of files' bytes, or a list of them, to a frame with a row for each.

        Its columns are `label` and, in the order of the labels, one `probability_LABEL` each. Raises `InvalidExample`
        for the first file that cannot be decoded.
        """
        import pandas as pd  # type: ignore[import-untyped] # MLflow brings it, without stubs

        if params:
            raise InputError(f"parameters {', '.join(sorted(params))} given; expected none.")
        bundle = self.predictor.bundle
        answers = self.predictor.predict_raw(_raws(model_input, bundle.input_kind))
        columns = ["label", *(f"probability_{label}" for label in bundle.label_names)]
        return pd.DataFrame([(answer.predicted, *answer.outputs.tolist()) for answer in answers], columns=columns)


def _raws(model_input: Any, column: str) -> Sequence[bytes]:
    if not hasattr(model_input, "columns"):
        return list(model_input)
    if list(model_input.columns) != [column]:
        given = ", ".join(map(str, model_input.columns))
        raise InputError(f"a frame with the columns {given} given; expected one column '{column}' of files' bytes.")
    return list(model_input[column])


def _load_pyfunc(path: str) -> BundleModel:
    return BundleModel(open_predictor(Path(path)))
