"""From raw bytes to an answer: the one predictor behind the server, the command line and evaluation. No torch."""

from loopline.predictor.answer import Answer, PredictorLike
from loopline.predictor.predictor import ENGINES, Predictor, open_predictor

__all__ = ["ENGINES", "Answer", "Predictor", "PredictorLike", "open_predictor"]
