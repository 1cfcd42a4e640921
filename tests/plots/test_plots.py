"""Plots are PNG pictures that follow what they are given, drawn without touching Matplotlib's global state."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from loopline import plots
from loopline.core.records import DriftTest, LevelBand
from loopline.metrics import calibration_bins

RNG = np.random.default_rng(0)
NAMES = [f"class {index}" for index in range(10)]
COUNTS = RNG.integers(0, 50, (10, 10))
CONFIDENCE = RNG.random(500)
LEVELS = np.repeat([0.0, 100.0, 200.0], 20)
VALUES = LEVELS + RNG.normal(size=60) * 9
BANDS = [LevelBand(level=x, num_examples=20, mean=x, median=x, low=x - 9, high=x + 9, mae=4) for x in (0, 100, 200)]
POINTS = RNG.normal(size=(60, 2))


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
    "true": lambda change: plots.predicted_true_png(LEVELS, VALUES + 20 * change, unit="kg", levels=BANDS),
    "residuals": lambda change: plots.residuals_png(LEVELS, VALUES + 20 * change, unit=""),
    "classes": lambda change: plots.class_map_png(POINTS, (np.arange(60) + change) % 10, NAMES),
    "many classes": lambda change: plots.class_map_png(POINTS, np.arange(60) + change, [f"{i}" for i in range(61)]),
    "values": lambda change: plots.value_map_png(POINTS, np.roll(VALUES, change), label="true, kg"),
    "feature": lambda change: plots.distributions_png(VALUES, VALUES + 5 * change, xlabel="tokens"),
    "constant": lambda change: plots.distributions_png(np.full(9, 3.0), np.full(9 + change, 3.0), xlabel="tokens"),
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
