"""How good is it? Judges predictions, whoever made them, and writes the record, the plots and a page."""

from loopline.evaluation.feedback import FEEDBACK_SPLIT, feedback_split
from loopline.evaluation.gate import check_comparable, compare_predictions
from loopline.evaluation.judge import PAGE_FILE, evaluate_predictions, load_predictions
from loopline.evaluation.judged import JudgedSplit, JudgedSubject
from loopline.evaluation.page import shown, shown_interval
from loopline.evaluation.served import Served, compare_served

__all__ = [
    "FEEDBACK_SPLIT",
    "PAGE_FILE",
    "JudgedSplit",
    "JudgedSubject",
    "Served",
    "check_comparable",
    "compare_predictions",
    "compare_served",
    "evaluate_predictions",
    "feedback_split",
    "load_predictions",
    "shown",
    "shown_interval",
]
