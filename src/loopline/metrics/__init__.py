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
from loopline.metrics.comparison import DEFAULT_MARGIN, paired_bootstrap
from loopline.metrics.conformal import conformal_radius
from loopline.metrics.resampling import NUM_RESAMPLES

__all__ = [
    "DEFAULT_MARGIN",
    "NUM_BINS",
    "NUM_RESAMPLES",
    "TOP_K",
    "calibration_bins",
    "check_predictions",
    "class_scores",
    "class_table",
    "classification_metrics",
    "conformal_radius",
    "confusion_matrix",
    "paired_bootstrap",
    "top_k_hits",
]
