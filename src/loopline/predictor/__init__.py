"""From raw bytes to an answer: the one predictor behind the server, the command line and evaluation. No torch."""

from loopline.predictor.answer import Answer, LabelAnswer, Predicted, PredictorLike, TextAnswer, ValueAnswer
from loopline.predictor.engine import ENGINES, Engine
from loopline.predictor.opening import PREDICTORS, open_predictor
from loopline.predictor.predictor import Predictor

__all__ = [
    "ENGINES",
    "PREDICTORS",
    "Answer",
    "Engine",
    "LabelAnswer",
    "Predicted",
    "Predictor",
    "PredictorLike",
    "TextAnswer",
    "ValueAnswer",
    "open_predictor",
]
