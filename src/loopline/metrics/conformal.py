"""How far a predicted value may be off: split conformal prediction. N examples.

Source: Lei, G'Sell, Rinaldo, Tibshirani and Wasserman, Distribution-Free Predictive Inference for Regression, JASA
2018, algorithm 2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError


def conformal_radius(errors_N: NDArray[Any], coverage: float) -> float:
    """The radius around a predicted value that holds the truth with a probability of at least `coverage`.

    It is the ceil((N + 1) · coverage)-th smallest of the absolute errors on N examples that no weight was fitted to.
    The promise holds for new examples of the same distribution, whatever that is, on average over calibration sets; for
    a given set the share varies around it by about sqrt(coverage · (1 − coverage) / N). Raises `InputError` for errors
    that are no finite distances, a coverage outside of 0 to 1, or too few examples for it.
    """
    errors_N = np.asarray(errors_N, dtype=np.float64)
    if not 0 < coverage < 1:
        raise InputError(f"coverage {coverage} given; expected a share between 0 and 1, as 0.9.")
    if errors_N.ndim != 1 or not np.isfinite(errors_N).all() or (errors_N < 0).any():
        raise InputError(f"errors of shape {errors_N.shape} given; expected (N,) finite numbers, none below 0.")
    # Less a rounding error: 0.07 · 100 is a little more than 7.
    rank = math.ceil((len(errors_N) + 1) * coverage - 1e-9)
    if rank > len(errors_N):
        needed = math.ceil(coverage / (1 - coverage) - 1e-9)
        raise InputError(
            f"{len(errors_N)} examples given; an interval that holds the truth in {coverage:.4g} of the cases needs at "
            f"least {needed}."
        )
    return float(np.partition(errors_N, rank - 1)[rank - 1])
