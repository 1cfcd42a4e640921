"""Rows of numbers around the loop, with a value to predict: the recipe that needs nothing but a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import loopline.data
from loopline.core.workspace import Workspace
from loopline.data import Columns, Options

RECIPE = (
    "recipe=values",
    "task=regression",
    "task.unit=m",
    "task.minimum=0",
    "model.width=16",
    "trainer.max_epochs=12",
)


@pytest.fixture
def falls(workspace: Workspace, tmp_path: Path) -> None:
    """A snapshot of 400 falls: how deep something fell after so many seconds, with a tail wind that does not matter."""
    generator = np.random.default_rng(0)
    time_s_N, wind_m_s_N = generator.uniform(0, 2, 400), generator.normal(0, 5, 400)
    depth_m_N = 9.81 / 2 * time_s_N**2 + generator.normal(0, 0.1, 400)
    rows = zip(time_s_N.round(4), wind_m_s_N.round(4), np.maximum(depth_m_N, 0).round(4), strict=True)
    table = tmp_path / "falls.csv"
    table.write_text("time_s,wind_m_s,depth_m\n" + "".join(f"{t},{w},{d}\n" for t, w, d in rows))
    columns = Columns(input="time_s,wind_m_s", target="depth_m")
    loopline.data.snapshot(table, name="falls", task="regression", options=Options(columns=columns))


@pytest.mark.usefixtures("falls")
def test_a_value_is_predicted_with_its_interval(walk: Any) -> None:
    """Better than the mean by far, in the target's unit, never below the minimum, the same over HTTP as in process."""
    walked = walk("falls", [*RECIPE, "optimizer.lr=0.02", "data.batch_size=32"])
    assert walked.evaluation.metrics["mae"].value < 1.0
    assert walked.evaluation.metrics["r2"].value > 0.9
    assert walked.judged_bundle.metrics["mae"].value == pytest.approx(walked.evaluation.metrics["mae"].value, abs=1e-4)
    assert walked.bundle.unit == "m"
    for answer, own in zip(walked.served, walked.own, strict=True):
        assert answer["value"] == pytest.approx(own.outputs[0])
        assert answer["unit"] == "m"
        assert 0 <= answer["interval"]["low"] <= answer["value"] <= answer["interval"]["high"]
    assert {test.feature for test in walked.drift.tests} >= {"embedding", "predicted value"}
    assert not walked.drift.drifted
