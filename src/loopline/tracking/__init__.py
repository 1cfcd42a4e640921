"""Tracking: what a run tells to MLflow, to Weights & Biases, or to nobody. `run.json` and metrics.jsonl need none.

A tracker is four methods. A tracker that fails while the run goes on is left alone after one warning: a full disk or a
dead server at the other end must not cost a training run.
"""

from loopline.tracking.evaluations import log_evaluation
from loopline.tracking.tracker import TRACKERS, GuardedTracker, Tracker, TrackerConfig, TrackingWarning, open_tracker

__all__ = [
    "TRACKERS",
    "GuardedTracker",
    "Tracker",
    "TrackerConfig",
    "TrackingWarning",
    "log_evaluation",
    "open_tracker",
]
