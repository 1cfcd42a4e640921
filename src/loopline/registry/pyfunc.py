"""How `mlflow.pyfunc.load_model("models:/fashion@champion")` opens a bundle: MLflow calls `_load_pyfunc`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loopline.core.errors import InputError
from loopline.predictor import Predictor, open_predictor


class BundleModel:
    """A bundle behind MLflow's `predict`."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """A frame with a column `image` of files' bytes (or a list of them) to `label` and a column per label name."""
        import pandas as pd  # type: ignore[import-untyped] # MLflow brings it, without stubs

        if params:
            raise InputError(f"parameters {', '.join(sorted(params))} given; expected none.")
        answers = self.predictor.predict_raw(_images(model_input))
        names = self.predictor.bundle.label_names
        rows = [
            {"label": answer.label, **dict(zip(names, map(float, answer.probabilities), strict=True))}
            for answer in answers
        ]
        return pd.DataFrame(rows, columns=["label", *names])


def _images(model_input: Any) -> Sequence[bytes]:
    if hasattr(model_input, "columns"):
        if list(model_input.columns) != ["image"]:
            given = ", ".join(map(str, model_input.columns))
            raise InputError(f"a frame with the columns {given} given; expected one column 'image' of files' bytes.")
        return list(model_input["image"])
    return list(model_input)


def _load_pyfunc(path: str) -> BundleModel:
    return BundleModel(open_predictor(Path(path)))
