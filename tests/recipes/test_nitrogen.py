"""The recipe nitrogen around the loop, on a few simulated plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import loopline.data
from loopline.core.workspace import Workspace
from loopline.data import Options
from loopline.data.simulation.plots import write_plots

OPTIONS = Options(validation_share=0.25, test_share=0.25, group_pattern="field_[0-9]+")


@pytest.fixture
def plots(workspace: Workspace, tmp_path: Path) -> None:
    """A snapshot of 64 plots in eight fields, a TIFF file per band, no field in two splits."""
    write_plots(tmp_path / "plots", 64, num_fields=8, seed=1)
    loopline.data.snapshot(
        f"plots:{tmp_path / 'plots'}", name="plots", task="regression", options=OPTIONS, workspace=workspace
    )


@pytest.mark.usefixtures("plots")
def test_nitrogen_goes_around_the_loop(walk: Any) -> None:
    """A vision transformer on small pictures of four bands tells much from little nitrogen, with an interval."""
    walked = walk(
        "plots",
        [
            "recipe=nitrogen",
            "model=vit",
            "model.width=16",
            "input.height=64",
            "input.width=106",
            "data.batch_size=8",
            "data.augment.shift_px=2",
            "trainer.max_epochs=12",
        ],
    )
    mae = [each.metrics["mae"].value for each in (walked.evaluation, walked.judged_bundle)]
    # Who always says 150 is off by 100.
    assert mae[0] == pytest.approx(mae[1], abs=0.01)
    assert mae[0] < 85
    assert walked.bundle.unit == "kg N/ha"
    assert walked.bundle.input_kind == "bands"
    for answer, own in zip(walked.served, walked.own, strict=True):
        assert answer["value"] == pytest.approx(own.outputs[0], abs=1e-3)
        assert 0 <= answer["interval"]["low"] <= answer["value"] <= answer["interval"]["high"]
        assert answer["interval"]["coverage"] == 0.9
    assert {level.level for level in walked.evaluation.levels} <= {0, 100, 200, 300}
