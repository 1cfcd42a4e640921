"""What answers and feedback look like, by task: the one place where serving tells tasks apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from loopline.bundle import read_drift_reference
from loopline.core.errors import StateError, UnknownName
from loopline.core.records import ModelBundle, Prediction, Record, Task
from loopline.prediction_log import Rating
from loopline.predictor.answer import Answer, LabelAnswer, PredictorLike, TextAnswer, ValueAnswer
from loopline.serving.refusals import invalid
from loopline.serving.schemas import (
    BatchAnswer,
    FeedbackBody,
    Interval,
    LabelFeedback,
    LabelFeedbackAnswer,
    LabelPrediction,
    PredictAnswer,
    TextFeedback,
    TextFeedbackAnswer,
    TextPrediction,
    ValueFeedback,
    ValueFeedbackAnswer,
    ValuePrediction,
)

A = TypeVar("A", bound=Answer)
F = TypeVar("F", bound=FeedbackBody)


class Truth(NamedTuple):
    """What feedback says, as the prediction log keeps it."""

    label: str | None
    rating: Rating | None = None


class TaskInterface(ABC, Generic[A, F]):
    """One task over HTTP, for one open bundle."""

    # The predictor's answers, the bodies that they become, and what /feedback takes and gives.
    answer_kind: ClassVar[type[Answer]]
    prediction_kind: ClassVar[type[PredictAnswer]]
    batch_kind: ClassVar[type[BatchAnswer[Any]]]
    feedback_kind: ClassVar[type[FeedbackBody]]
    kept_kind: ClassVar[type[Record]]
    # What feedback can turn out to say; the metric counts each.
    verdicts: ClassVar[tuple[str, ...]]

    def __init__(self, predictor: PredictorLike, *, num_probabilities: int) -> None:
        self.bundle: ModelBundle = predictor.bundle
        self.output_names = predictor.output_names
        self._num_listed = num_probabilities or len(self.output_names)
        # Ascending bounds between which held-out examples' values lie, a tenth each; empty where there are no values.
        self.value_bounds: tuple[float, ...] = ()
        self.value_range: tuple[float, float] | None = None

    def fields(self, answer: Answer) -> dict[str, Any]:
        """The task's own fields of a prediction; raises `StateError` for an answer of another task."""
        if not isinstance(answer, self.answer_kind):
            expected = self.answer_kind.__name__
            raise StateError(f"the predictor gave {type(answer).__name__}; this server expects {expected}.")
        return self._fields(answer)  # type: ignore[arg-type] # checked against answer_kind, which is A

    @abstractmethod
    def _fields(self, answer: A) -> dict[str, Any]: ...

    @abstractmethod
    def truth(self, feedback: F) -> Truth:
        """What to keep of a feedback; raises a 422 where it cannot be true of this model."""

    @abstractmethod
    def kept(self, row: Prediction, feedback: F) -> tuple[Record, str]:
        """The answer to a feedback that was kept in `row`, and its verdict."""


class Classification(TaskInterface[LabelAnswer, LabelFeedback]):
    """Labels with their probabilities."""

    answer_kind = LabelAnswer
    prediction_kind = LabelPrediction
    batch_kind = BatchAnswer[LabelPrediction]
    feedback_kind = LabelFeedback
    kept_kind = LabelFeedbackAnswer
    verdicts = ("right", "wrong")

    def _fields(self, answer: LabelAnswer) -> dict[str, Any]:
        probabilities = dict(answer.top(self._num_listed, self.output_names))
        return {"label": answer.label, "confidence": answer.confidence, "probabilities": probabilities}

    def truth(self, feedback: LabelFeedback) -> Truth:
        """A label that the model knows."""
        if feedback.label not in self.bundle.label_names:
            unknown = UnknownName("label", feedback.label[:100], self.bundle.label_names)
            raise invalid(str(unknown), code="unknown_label")
        return Truth(feedback.label)

    def kept(self, row: Prediction, feedback: LabelFeedback) -> tuple[Record, str]:
        """Whether the prediction was right."""
        correct = row.predicted == feedback.label
        answer = LabelFeedbackAnswer(
            request_id=row.request_id, predicted=row.predicted, label=feedback.label, correct=correct
        )
        return answer, "right" if correct else "wrong"


class Regression(TaskInterface[ValueAnswer, ValueFeedback]):
    """A value in a unit, with its interval where the bundle states one."""

    answer_kind = ValueAnswer
    prediction_kind = ValuePrediction
    batch_kind = BatchAnswer[ValuePrediction]
    feedback_kind = ValueFeedback
    kept_kind = ValueFeedbackAnswer
    verdicts = ("inside", "outside", "unjudged")

    def __init__(self, predictor: PredictorLike, *, num_probabilities: int) -> None:
        super().__init__(predictor, num_probabilities=num_probabilities)
        steps = [step for step in self.bundle.postprocess if step.name == "interval"]
        self._coverage = float(steps[-1].params["coverage"]) if steps else None
        held_out_NK = read_drift_reference(predictor.folder, self.bundle)["outputs"]
        deciles = np.quantile(held_out_NK[:, 0], np.linspace(0.1, 0.9, 9))
        self.value_bounds = tuple(dict.fromkeys(float(f"{bound:.3g}") for bound in deciles))
        self.value_range = (float(held_out_NK.min()), float(held_out_NK.max()))

    def _fields(self, answer: ValueAnswer) -> dict[str, Any]:
        interval = None
        if answer.interval is not None and self._coverage is not None:
            low, high = answer.interval
            interval = Interval(low=low, high=high, coverage=self._coverage)
        return {"value": answer.value, "unit": self.bundle.unit, "interval": interval}

    def truth(self, feedback: ValueFeedback) -> Truth:
        """Any finite number."""
        return Truth(repr(feedback.value))

    def kept(self, row: Prediction, feedback: ValueFeedback) -> tuple[Record, str]:
        """How far off the prediction was, and whether its interval held the truth."""
        outputs = row.outputs
        inside = outputs["low"] <= feedback.value <= outputs["high"] if "low" in outputs else None
        answer = ValueFeedbackAnswer(
            request_id=row.request_id,
            predicted=outputs["value"],
            value=feedback.value,
            error=outputs["value"] - feedback.value,
            inside=inside,
        )
        return answer, "unjudged" if inside is None else "inside" if inside else "outside"


class Translation(TaskInterface[TextAnswer, TextFeedback]):
    """A text."""

    answer_kind = TextAnswer
    prediction_kind = TextPrediction
    batch_kind = BatchAnswer[TextPrediction]
    feedback_kind = TextFeedback
    kept_kind = TextFeedbackAnswer
    verdicts = ("up", "down", "corrected")

    def _fields(self, answer: TextAnswer) -> dict[str, Any]:
        features = dict(zip(self.output_names, answer.outputs.tolist(), strict=True))
        return {"text": answer.text, "features": features}

    def truth(self, feedback: TextFeedback) -> Truth:
        """A rating, a corrected text, or both."""
        return Truth(feedback.text, feedback.rating)

    def kept(self, row: Prediction, feedback: TextFeedback) -> tuple[Record, str]:
        """What is known of the text now."""
        answer = TextFeedbackAnswer(
            request_id=row.request_id, predicted=row.predicted, text=row.label, rating=row.rating
        )
        return answer, feedback.rating or "corrected"


TASKS: dict[Task, type[TaskInterface[Any, Any]]] = {
    "classification": Classification,
    "regression": Regression,
    "translation": Translation,
}
