"""MLflow's scoring server: saves the model as a pyfunc, and becomes `mlflow models serve`. Takes base64 in JSON."""

from __future__ import annotations

import base64
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import mlflow
from model import Model


class Pictures(mlflow.pyfunc.PythonModel):
    """A column of base64 to the five likeliest labels."""

    def load_context(self, context: Any) -> None:
        self.model = Model()

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> list[dict[str, object]]:
        return self.model.predict([self.model.decode(base64.b64decode(text)) for text in model_input["file"]])


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="mlflow-peer-")) / "model"
    here = Path(__file__).parent
    mlflow.pyfunc.save_model(folder, python_model=Pictures(), code_paths=[str(here / "model.py")], pip_requirements=[])
    arguments = ["--env-manager", "local", "--port", sys.argv[1], "--workers", sys.argv[2]]
    # The scoring server is found on PATH.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.execv(  # noqa: S606 - so that the server is this process, and ends with it
        sys.executable, [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder), *arguments]
    )
