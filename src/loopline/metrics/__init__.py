"""Layer 2: how good predictions are, and how sure that figure is. NumPy only; the gate and the evaluation share it."""

from loopline.metrics.classification import (
    NUM_BINS,
    TOP_K,
    calibration_bins,
    check_predictions,
    class_scores,
    class_table,
    classification_metrics,
    confusion_matrix,
    top_k_hits,
)
from loopline.metrics.comparison import (
    CHRF_MARGIN,
    DEFAULT_MARGIN,
    ERROR_MARGIN,
    independent_difference,
    paired_bootstrap,
    paired_chrf,
    paired_errors,
)
from loopline.metrics.conformal import conformal_radius
from loopline.metrics.regression import Values, check_values, level_bands, regression_metrics
from loopline.metrics.resampling import NUM_RESAMPLES
from loopline.metrics.translation import translation_metrics

__all__ = [
    "CHRF_MARGIN",
    "DEFAULT_MARGIN",
    "ERROR_MARGIN",
    "NUM_BINS",
    "NUM_RESAMPLES",
    "TOP_K",
    "Values",
    "calibration_bins",
    "check_predictions",
    "check_values",
    "class_scores",
    "class_table",
    "classification_metrics",
    "conformal_radius",
    "confusion_matrix",
    "independent_difference",
    "level_bands",
    "paired_bootstrap",
    "paired_chrf",
    "paired_errors",
    "regression_metrics",
    "top_k_hits",
    "translation_metrics",
]
