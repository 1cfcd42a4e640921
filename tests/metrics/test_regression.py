"""Errors of predicted quantities against scikit-learn; intervals against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.metrics import Values, level_bands, regression_metrics


def quantities(num_examples: int, *, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """True quantities on four levels, and predictions around them that are two too high on average."""
    rng = np.random.default_rng(seed)
    targets_N = rng.choice([0.0, 100.0, 200.0, 300.0], num_examples).astype(np.float32)
    return targets_N, (targets_N + 2 + rng.normal(size=num_examples) * 10).astype(np.float32)


def test_metrics_equal_scikit_learns() -> None:
    """MAE, RMSE and R² are scikit-learn's; bias, coverage and width are what their names say."""
    from sklearn import metrics as reference

    targets_N, values_N = quantities(400)
    found = regression_metrics(targets_N, Values(values_N, values_N - 15, values_N + 15), num_resamples=20)
    errors_N = values_N.astype(float) - targets_N
    expected = {
        "mae": reference.mean_absolute_error(targets_N, values_N),
        "rmse": reference.root_mean_squared_error(targets_N, values_N),
        "r2": reference.r2_score(targets_N, values_N),
        "bias": errors_N.mean(),
        "coverage": (np.abs(errors_N) <= 15).mean(),
        "width": 30,
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-5), name
        assert found[name].low <= found[name].value <= found[name].high
    assert [name for name, metric in found.items() if metric.higher_is_better] == ["r2", "coverage"]
    assert "coverage" not in regression_metrics(targets_N, Values(values_N), num_resamples=5)


def test_a_draw_is_the_metric_of_the_drawn_examples() -> None:
    """A weight is a repetition: the bounds of one resample are the metrics of examples taken so often."""
    targets_N, values_N = quantities(30)
    found = regression_metrics(targets_N, Values(values_N), seed=4, num_resamples=1)
    drawn = np.random.default_rng(4).integers(0, 30, 30)
    again = regression_metrics(targets_N[drawn], Values(values_N[drawn]), num_resamples=1)
    for name in found:
        assert found[name].low == pytest.approx(again[name].value), name


def test_intervals_cover_the_truth() -> None:
    """About 95 of 100 intervals of the bias hold the bias that the errors were drawn with."""
    covered = 0
    for seed in range(100):
        targets_N, values_N = quantities(200, seed=seed)
        bias = regression_metrics(targets_N, Values(values_N), seed=seed, num_resamples=200)["bias"]
        covered += bias.low <= 2 <= bias.high
    assert 88 <= covered <= 100


def test_one_target_has_no_r2() -> None:
    """Where all targets are one there is nothing to explain; where a draw is so, it is left out of the interval."""
    assert "r2" not in regression_metrics(np.full(9, 3.0), Values(np.arange(9.0)), num_resamples=5)
    two = regression_metrics(np.array([1.0, 2.0]), Values(np.array([1.1, 1.8])), num_resamples=50)
    assert two["r2"].low <= two["r2"].value == pytest.approx(0.9)


def test_levels_are_the_few_values_that_targets_take() -> None:
    """Each level has what was predicted for it; a continuum has none."""
    targets_N, values_N = quantities(400)
    bands = level_bands(targets_N, values_N)
    assert [band.level for band in bands] == [0, 100, 200, 300]
    assert sum(band.num_examples for band in bands) == 400
    second = values_N[targets_N == 100].astype(float)
    assert bands[1].median == pytest.approx(np.median(second))
    assert (bands[1].low, bands[1].high) == pytest.approx(tuple(np.quantile(second, (0.05, 0.95))))
    assert bands[1].mae == pytest.approx(np.abs(second - 100).mean())
    assert level_bands(np.arange(40.0), np.arange(40.0)) == ()
    assert level_bands(np.arange(6.0), np.arange(6.0)) == ()


@pytest.mark.parametrize(
    ("targets", "predicted", "words"),
    [
        ([1.0, 2.0], Values(np.ones(3)), "one per target"),
        ([1.0], Values(np.array([np.nan])), "NaN"),
        ([1.0], Values(np.ones(1), np.ones(2), np.ones(1)), "low ends"),
        ([], Values(np.ones(0)), "no example"),
    ],
)
def test_what_is_no_quantity_is_refused(targets: list[float], predicted: Values, words: str) -> None:
    """Lengths and numbers are checked with a sentence."""
    with pytest.raises(InputError, match=words):
        regression_metrics(np.asarray(targets), predicted)
