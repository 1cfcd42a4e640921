"""Confidential plots around the whole loop: every file and every line that it leaves is searched for their samples."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from fastapi.testclient import TestClient

from loopline import loop
from loopline.core.errors import ConfigError
from loopline.core.workspace import Workspace
from loopline.data import Options, snapshot, write_plots
from loopline.data.confidential import holds_blocks, sample_blocks
from loopline.data.simulation import SimulatedPlot, simulate_plots
from loopline.data.simulation.canopy import CAMERA
from loopline.prediction_log import open_log
from loopline.serving import ServeSettings, build_app
from loopline.snapshots import open_snapshot
from loopline.transforms.bands import encode_bands

# Where samples may stand: the snapshot itself, and what training decoded of it.
AT_HOME = ("data", "cache")
OVERRIDES = (
    "recipe=nitrogen",
    "tracking=mlflow",
    "model.width=4",
    "model.test_time_flips=false",
    "data.batch_size=8",
    "data.augment.shift_px=0",
    "trainer.max_epochs=1",
)


@pytest.fixture
def plots(workspace: Workspace) -> list[SimulatedPlot]:
    """40 simulated plots in eight fields, of which the confidential snapshot `secret` was made."""
    folder = workspace.root.parent / "plots"
    write_plots(folder, 40, num_fields=8, seed=0, multiband=True)
    options = Options(confidential=True, validation_share=0.25, test_share=0.25, group_pattern=r"field_\d+")
    snapshot(f"plots:{folder}", name="secret", task="regression", options=options, workspace=workspace)
    return list(simulate_plots(8, num_fields=8, seed=0))


@pytest.mark.slow
def test_no_sample_leaves_home(
    plots: list[SimulatedPlot], workspace: Workspace, walk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Train with a tracker, evaluate, bundle, register, serve, drift, and ask for what is refused."""
    caplog.set_level(logging.INFO)
    walked = walk("secret", OVERRIDES)
    assert walked.bundle.reference.is_simulated
    said = [walked.page, json.dumps(walked.served), *_asked_over_http(plots[3], workspace)]
    said += [record.getMessage() for record in caplog.records]
    blocks_B = sample_blocks(open_snapshot("secret", workspace))
    paths = [path for path in workspace.root.rglob("*") if path.is_file()]
    holding = {path.relative_to(workspace.root) for path in paths if holds_blocks(path.read_bytes(), blocks_B)}
    # The search finds what is there: shards, and the decoded cache.
    assert {path.suffix for path in holding} == {".parquet", ".npy"}
    assert [path for path in holding if path.parts[0] not in AT_HOME] == []
    # It went through the tracker's folder, the run's, the bundle's, the registry and the prediction log.
    searched = {path.relative_to(workspace.root).parts[0] for path in paths}
    assert {"runs", "bundles"} < searched
    assert len(paths) > 30
    assert not holds_blocks("\n".join(said).encode(), blocks_B)


def _asked_over_http(plot: SimulatedPlot, workspace: Workspace) -> list[str]:
    """Answers to a plot as four files and as one, which are equal, and refusals of what is no plot or may not be."""
    predictor = loop.load("secret@champion", workspace=workspace)
    samples_CHW = plot.samples("uint16")
    files = [(f"plot_{band}.tif", encode_bands(samples_CHW[[place]])) for place, band in enumerate(CAMERA)]
    joined = predictor.join(files)
    with open_log(workspace.prediction_log) as log:
        app = build_app(predictor, ServeSettings(), model="secret@champion", log=log)
        with TestClient(app) as client:
            four = client.post("/predict", files=[("file", file) for file in files])
            one = client.post("/predict", files={"file": ("plot.tif", joined)})
            three = client.post("/predict", files=[("file", file) for file in files if "nir" not in file[0]])
            cut = client.post("/predict", files={"file": ("plot.tif", joined[:-100])})
        with pytest.raises(ConfigError, match="log_inputs given; bundle 'secret' was made of confidential data"):
            build_app(predictor, ServeSettings(log_inputs=True), model="secret@champion", log=log)
    assert [answer.status_code for answer in (four, one, three, cut)] == [200, 200, 422, 422], four.text
    assert four.json()["value"] == pytest.approx(one.json()["value"])
    assert four.json()["unit"] == "kg N/ha"
    assert "band nir missing; expected green, red, red_edge, nir" in three.text
    assert "the TIFF file is broken or truncated" in cut.text
    return [four.text, one.text, three.text, cut.text]
