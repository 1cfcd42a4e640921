"""MLflow's own tools answer with a registered bundle, whatever its task: `load_model`, and a real `models serve`."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped] # has no stubs here
import pytest

from loopline.core.workspace import Workspace
from loopline.predictor import Answer, LabelAnswer, TextAnswer, open_predictor
from loopline.registry import promote, register
from loopline.registry.pyfunc import BundleModel, model_signature
from loopline.testing import make_png, make_value_bundle
from loopline.transforms.bands import encode_bands

ROWS: list[list[float]] = [[9.5, 11.0, 10.25], [8, 9, 10]]


def load(folder: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Any:
    import mlflow.pyfunc

    register(folder, name="model", workspace=workspace)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", workspace.tracking_uri)
    return mlflow.pyfunc.load_model("models:/model/1")


def test_values_go_in_as_lists(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column of lists, as MLflow checks it against the signature, gives value, low and high."""
    folder = make_value_bundle(tmp_path / "bundles")
    model = load(folder, workspace, monkeypatch)
    predictor = open_predictor(folder)
    answers = predictor.predict([predictor.from_array(row) for row in ROWS])
    frame = model.predict(pd.DataFrame({"values": [[float(number) for number in row] for row in ROWS]}))
    assert list(frame.columns) == ["value", "low", "high"]
    assert frame.to_numpy().tolist() == [answer.outputs.tolist() for answer in answers]
    assert model.metadata.get_output_schema().input_names() == ["value", "low", "high"]


def test_bands_go_in_as_files(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column of TIFF files' bytes, as a picture's."""
    folder = make_value_bundle(tmp_path / "bundles", bands=("red", "nir"))
    model = load(folder, workspace, monkeypatch)
    raw = encode_bands(np.full((2, 10, 10), 0.25, np.float32))
    (expected,) = open_predictor(folder).predict_raw([raw])
    frame = model.predict(pd.DataFrame({"bands": [raw]}))
    assert frame.to_numpy().tolist() == [expected.outputs.tolist()]


def test_texts_go_in_as_texts(tmp_path: Path) -> None:
    """A column `text`, and one that comes back; MLflow is told that both are strings."""
    inner = open_predictor(make_value_bundle(tmp_path))

    class Shouter:
        """Answers in capitals, under the record of a translator."""

        bundle = inner.bundle.model_copy(update={"task": "translation", "input_kind": "text"})

        def from_array(self, values: Any) -> Any:
            return values

        def predict(self, samples: Sequence[Any]) -> list[Answer]:
            return [TextAnswer(text.upper(), np.zeros(3, np.float32), np.zeros(4, np.float32)) for text in samples]

    shouter: Any = Shouter()
    frame = BundleModel(shouter).predict(pd.DataFrame({"text": ["ein hund", "zwei"]}))
    assert frame.to_dict("list") == {"text": ["EIN HUND", "ZWEI"]}
    signature = model_signature(shouter.bundle)
    assert str(signature.inputs) == str(signature.outputs) == "['text': string (required)]"


def test_mlflow_models_serve_answers(
    workspace: Workspace, bundles: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command of MLflow's documents, a picture in base64, and the predictor's own answer."""
    register(bundles[0], name="digits", workspace=workspace)
    promote("digits@1", workspace=workspace)
    picture = make_png(height=8, width=8, seed=5)
    (expected,) = open_predictor(bundles[0]).predict_raw([picture])
    assert isinstance(expected, LabelAnswer)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["models", "serve", "-m", "models:/digits@champion", "--env-manager", "local", "--port", str(port)]
    # MLflow looks for its server on the path.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": workspace.tracking_uri, "PATH": path}
    log = tmp_path / "mlflow.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command],
            stdout=file,
            stderr=file,
            env=environment,
            start_new_session=True,
        )
    try:
        deadline_s = time.monotonic() + 120
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        body = {"dataframe_split": {"columns": ["image"], "data": [[base64.b64encode(picture).decode()]]}}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/invocations", json.dumps(body), {"Content-Type": "application/json"})
        (row,) = json.loads(connection.getresponse().read())["predictions"]
        connection.close()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    assert row["label"] == expected.label
    assert [row[f"probability_{label}"] for label in ("circle", "cross", "square")] == pytest.approx(
        expected.probabilities.tolist()
    )
