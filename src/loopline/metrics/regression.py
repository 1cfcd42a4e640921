"""How far predicted quantities are from the true ones, and how sure that figure is.

N examples. `targets_N` and `values_N` are finite floats in one unit, `low_N` and `high_N` bound an interval around the
value, `weights_N` says how often each example counts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.records import LevelBand, Metric
from loopline.metrics.resampling import INTERVAL, NUM_RESAMPLES, resampled_metrics

FloatArray = NDArray[np.float64]

_HIGHER_IS_BETTER = frozenset({"r2", "coverage"})
# More distinct targets than this are a continuum, and so are fewer than two examples of each.
_MOST_LEVELS = 12


class Values(NamedTuple):
    """Predicted values and, where the model states one, the interval around each."""

    values_N: NDArray[Any]
    low_N: NDArray[Any] | None = None
    high_N: NDArray[Any] | None = None


def check_values(targets_N: NDArray[Any], predicted: Values) -> None:
    """Raises `InputError` unless targets, values and intervals are finite numbers that fit each other."""
    columns = {
        "targets": targets_N,
        "values": predicted.values_N,
        "low ends": predicted.low_N,
        "high": predicted.high_N,
    }
    for name, column_N in columns.items():
        if column_N is None:
            continue
        if column_N.ndim != 1 or len(column_N) != len(targets_N):
            raise InputError(f"{name} of shape {column_N.shape} given; expected ({len(targets_N)},), one per target.")
        if not np.isfinite(column_N).all():
            raise InputError(f"the {name} hold NaN or infinity; expected finite numbers.")
    if len(targets_N) == 0:
        raise InputError("there is no example; expected at least one.")


def regression_metrics(
    targets_N: NDArray[Any], predicted: Values, *, seed: int = 0, num_resamples: int = NUM_RESAMPLES
) -> dict[str, Metric]:
    """MAE, RMSE, R², bias and, where there are intervals, their coverage and mean width.

    Each has a 95% percentile bootstrap interval of `num_resamples` draws of N examples with replacement, all metrics of
    the same draws. `bias` is the mean of predicted minus true. R² is left out where all targets are one. Raises
    `InputError` for what `check_values` refuses.
    """
    check_values(targets_N, predicted)
    columns = _columns(np.asarray(targets_N, dtype=np.float64), predicted)
    values, resampled = resampled_metrics(
        lambda weights_N: _metrics(columns, weights_N), len(targets_N), seed=seed, num_resamples=num_resamples
    )
    if columns["square_deviation"].sum() == 0:
        values.pop("r2")
    found = {}
    for name, value in values.items():
        # A draw of one and the same target has no R².
        low, high = np.nanquantile(resampled[name], INTERVAL)
        found[name] = Metric(value=value, low=float(low), high=float(high), higher_is_better=name in _HIGHER_IS_BETTER)
    return found


def level_bands(targets_N: NDArray[Any], values_N: NDArray[Any]) -> tuple[LevelBand, ...]:
    """What was predicted at each true level, lowest first; none where there are more than 12 levels or single ones."""
    levels, counts = np.unique(targets_N, return_counts=True)
    if len(levels) > _MOST_LEVELS or counts.mean() < 2:
        return ()
    bands = []
    for level in levels:
        at_level = np.asarray(values_N, dtype=np.float64)[targets_N == level]
        low, median, high = np.quantile(at_level, (0.05, 0.5, 0.95))
        bands.append(
            LevelBand(
                level=float(level),
                num_examples=len(at_level),
                mean=float(at_level.mean()),
                median=float(median),
                low=float(low),
                high=float(high),
                mae=float(np.abs(at_level - level).mean()),
            )
        )
    return tuple(bands)


def _columns(targets_N: FloatArray, predicted: Values) -> dict[str, FloatArray]:
    """What each example contributes, computed once, so that a resample only adds up."""
    errors_N = np.asarray(predicted.values_N, dtype=np.float64) - targets_N
    # Around the mean, so that the squares that cancel in a draw's variance are no larger than they must be.
    deviation_N = targets_N - targets_N.mean()
    columns = {
        "absolute_error": np.abs(errors_N),
        "square_error": errors_N**2,
        "bias": errors_N,
        "deviation": deviation_N,
        "square_deviation": deviation_N**2,
    }
    if predicted.low_N is not None and predicted.high_N is not None:
        low_N, high_N = (np.asarray(end, dtype=np.float64) for end in (predicted.low_N, predicted.high_N))
        columns["coverage"] = ((low_N <= targets_N) & (targets_N <= high_N)).astype(np.float64)
        columns["width"] = high_N - low_N
    return columns


def _metrics(columns: dict[str, FloatArray], weights_N: FloatArray) -> dict[str, float]:
    """Every metric of the examples, each counted `weights_N` times."""
    means = {name: float(weights_N @ column_N / weights_N.sum()) for name, column_N in columns.items()}
    variance = means["square_deviation"] - means["deviation"] ** 2
    # Below rounding, the draw holds one target alone.
    known = variance > 1e-12 * max(float(columns["square_deviation"].max()), 1e-300)
    return {
        "mae": means["absolute_error"],
        "rmse": means["square_error"] ** 0.5,
        "r2": 1 - means["square_error"] / variance if known else float("nan"),
        "bias": means["bias"],
        **{name: means[name] for name in ("coverage", "width") if name in means},
    }
