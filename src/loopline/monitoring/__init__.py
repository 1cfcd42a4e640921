"""Does what comes in still look like what the model was measured on?"""

from loopline.monitoring.drift import DriftSample, DriftSubject, detect_drift, drift_sentence, shown_tests
from loopline.monitoring.report import write_drift_report
from loopline.monitoring.window import parse_moment

__all__ = [
    "DriftSample",
    "DriftSubject",
    "detect_drift",
    "drift_sentence",
    "parse_moment",
    "shown_tests",
    "write_drift_report",
]
