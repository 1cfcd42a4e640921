"""How good is it? Judges predictions, whoever made them, and writes the record, the plots and a page."""

from loopline.evaluation.judge import JudgedSplit, JudgedSubject, evaluate_predictions, load_predictions

__all__ = ["JudgedSplit", "JudgedSubject", "evaluate_predictions", "load_predictions"]
