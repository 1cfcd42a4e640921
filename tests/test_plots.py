"""Plots are PNG pictures that follow what they are given, drawn without touching Matplotlib's global state."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from loopline import plots
from loopline.core.records import DriftTest
from loopline.metrics import calibration_bins

RNG = np.random.default_rng(0)
NAMES = [f"class {index}" for index in range(10)]
COUNTS = RNG.integers(0, 50, (10, 10))
CONFIDENCE = RNG.random(500)


def drift_tests(p: float) -> list[DriftTest]:
    """Two tests, one of them with the given corrected p."""
    facts = {"method": "m", "statistic": 0.1, "p": 0.0, "effect": 0.2, "minimum_effect": 0.05}
    return [
        DriftTest(feature="PC 1", corrected_p=p, drifted=p < 0.01, **facts),
        DriftTest(feature="labels", corrected_p=1.0, drifted=False, **facts),
    ]


DRAWN = {
    "confusion": lambda change: plots.confusion_png(COUNTS + change * np.eye(10), NAMES),
    "reliability": lambda change: plots.reliability_png(calibration_bins(0.4 + 0.1 * change < CONFIDENCE, CONFIDENCE)),
    "curves": lambda change: plots.learning_curves_png({"train/loss": ([1, 2, 3], [3.0, 2.0, 1.0 + change])}),
    "counts": lambda change: plots.class_counts_png({"train": [5 + change] * 9 + [3]}, NAMES),
    "shares": lambda change: plots.label_shares_png(np.full(10, 0.1), np.roll([0.55, *[0.05] * 9], change), NAMES),
    "embedding": lambda change: plots.embedding_png(COUNTS[:, :2] * 1.0, COUNTS[:, 2:4] * 1.0 + change),
    "drift": lambda change: plots.drift_tests_png(drift_tests(1e-6 if change else 0.5), 0.01),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_plot_follows_its_input(name: str) -> None:
    """Equal input gives equal bytes of a picture wide enough to read; other input gives another picture."""
    before = dict(matplotlib.rcParams)
    first = DRAWN[name](0)
    image = Image.open(io.BytesIO(first))
    assert image.format == "PNG"
    assert image.width >= 600
    assert DRAWN[name](0) == first
    assert DRAWN[name](1) != first
    assert dict(matplotlib.rcParams) == before


def test_a_hundred_classes_can_be_drawn() -> None:
    """Many classes make a picture of bounded size."""
    names = [f"class {index}" for index in range(100)]
    image = Image.open(io.BytesIO(plots.confusion_png(np.eye(100), names)))
    assert max(image.size) < 4000
