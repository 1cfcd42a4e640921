"""From raw bytes to an answer: the one predictor behind the server, the command line and evaluation. No torch."""

from loopline.predictor.answer import Answer, PredictorLike
from loopline.predictor.engine import ENGINES, Engine
from loopline.predictor.predictor import Predictor, open_predictor

__all__ = ["ENGINES", "Answer", "Engine", "Predictor", "PredictorLike", "open_predictor"]
