"""What goes over the wire: requests that refuse unknown fields, answers, and the one shape of an error.

What differs from task to task, `loopline.serving.tasks` chooses; what differs from input to input, `…inputs`.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import Field, JsonValue, SerializeAsAny, field_validator, model_validator

from loopline.core.records import InputKind, Record, Task, TensorSpec, TransformStep

# --- what is asked ----------------------------------------------------------------------------------------------------


class PictureBody(Record):
    """JSON that asks for one prediction: a picture as a file, or its pixel values."""

    image: str | None = Field(None, description="The file's bytes (PNG, JPEG, …) in base64.")
    pixels: Any = Field(None, description="Whole numbers, 0 to 255: height×width or height×width×channels.")

    @model_validator(mode="after")
    def _one_is_given(self) -> Self:
        if (self.image is None) == (self.pixels is None):
            raise ValueError("expected exactly one of 'image' and 'pixels'")
        return self


class ValuesBody(Record):
    """JSON that asks for one prediction of plain values."""

    values: Any = Field(description="Numbers, nested as the model's input has axes.")


class TextBody(Record):
    """JSON that asks for one prediction of a text, or for one of each text of a list."""

    text: str | list[str] = Field(description="A text, or a list of texts.")

    @field_validator("text", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        # Said once; Pydantic would complain about each of the two types.
        if isinstance(value, str) or (isinstance(value, list) and value and all(isinstance(t, str) for t in value)):
            return value
        raise ValueError("expected a text or a list of texts")


class FeedbackBody(Record):
    """What became known about an answered request."""

    request_id: str = Field(description="The request_id of the answer.")


class LabelFeedback(FeedbackBody):
    """The true label of an answered request."""

    label: str = Field(description="The true label, one of the model's label names.")


class ValueFeedback(FeedbackBody):
    """The true value of an answered request."""

    value: float = Field(strict=True, description="The true value, in the model's unit.")


class TextFeedback(FeedbackBody):
    """What a reader thought of a text, the text as it should have been, or both."""

    rating: Literal["up", "down"] | None = Field(None, description="Good or bad.")
    text: str | None = Field(None, min_length=1, max_length=100_000, description="The corrected text.")

    @model_validator(mode="after")
    def _something_is_given(self) -> Self:
        if self.rating is None and self.text is None:
            raise ValueError("expected 'rating', 'text' or both")
        return self


# --- what is answered -------------------------------------------------------------------------------------------------


class Timings(Record):
    """Where the time went, in milliseconds; `total_ms` runs from the request's first byte."""

    decode_ms: float
    queue_ms: float
    infer_ms: float
    total_ms: float


class PredictAnswer(Record):
    """What every prediction comes with."""

    request_id: str
    model: str
    bundle_digest: str
    batch_size: int
    timings_ms: Timings


class LabelPrediction(PredictAnswer):
    """A class; `probabilities` has the likeliest label first."""

    label: str
    confidence: float
    probabilities: dict[str, float]


class Interval(Record):
    """Between its ends lay the truth of the share `coverage` of held-out examples (split conformal prediction)."""

    low: float
    high: float
    coverage: float


class ValuePrediction(PredictAnswer):
    """A quantity in `unit`."""

    value: float
    unit: str | None
    interval: Interval | None


class TextPrediction(PredictAnswer):
    """A text; `features` are what drift watches of the question and the answer."""

    text: str
    features: dict[str, float]


class ErrorDetail(Record):
    """What went wrong: `code` for programs, `message` for people, `next` for what to do about it."""

    code: str
    message: str
    next: str | None = None


class ErrorBody(Record):
    """The body of every response that is no answer."""

    error: ErrorDetail
    request_id: str


A = TypeVar("A", bound=PredictAnswer)


class BatchItem(Record, Generic[A]):
    """One example of a batch: its answer, or why there is none. `file` is its file's name, None for a text."""

    file: str | None = None
    answer: SerializeAsAny[A] | None = None
    error: ErrorDetail | None = None


class BatchAnswer(Record, Generic[A]):
    """The examples of a batch in their order."""

    request_id: str
    items: list[BatchItem[A]]


class LabelFeedbackAnswer(Record):
    """A label that was kept, and whether the prediction had been right."""

    request_id: str
    predicted: str
    label: str
    correct: bool


class ValueFeedbackAnswer(Record):
    """A value that was kept, how far off the prediction had been, and whether its interval had held the value."""

    request_id: str
    predicted: float
    value: float
    # `predicted` − `value`.
    error: float
    inside: bool | None


class TextFeedbackAnswer(Record):
    """A rating and a corrected text, as they stand in the log now."""

    request_id: str
    predicted: str
    text: str | None
    rating: Literal["up", "down"] | None


class Limits(Record):
    """What a request may ask for."""

    max_body_bytes: int
    # Of headers, trailers and whatever else stands beside a body.
    max_overhead_bytes: int
    # Of an address that holds a text.
    max_url_bytes: int | None
    # Width times height, where inputs are pictures; refused from the file's header.
    max_pixels: int | None
    # Numbers and lists in one JSON body.
    max_json_values: int
    # Of one text, where inputs are texts.
    max_text_chars: int | None
    max_batch_examples: int
    max_queue_size: int
    # Of all bodies that are in work at once.
    max_pending_bytes: int
    request_timeout_s: float
    # Requests per second of each API key; None for any number.
    rate_limit_per_s: float | None


class ModelAnswer(Record):
    """The model that answers: its names, signature, card and limits."""

    model: str
    name: str
    bundle_digest: str
    task: Task
    input_kind: InputKind
    run_id: str
    dataset: str
    licence: str
    label_names: tuple[str, ...]
    unit: str | None
    # Of an answer's outputs, as the prediction log keeps them.
    output_names: tuple[str, ...]
    # Least and largest value that the model gave to held-out examples, where it predicts one.
    value_range: tuple[float, float] | None
    # Inputs to try, where they are plain text or numbers: the bundle's own reference inputs.
    examples: tuple[JsonValue, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocess: tuple[TransformStep, ...]
    postprocess: tuple[TransformStep, ...]
    metrics: dict[str, float]
    limits: Limits
    card: str


class HealthAnswer(Record):
    """`alive` or `ready`; a server that is not ready answers with an error that says why."""

    status: str
    # What a server that is ready has to say all the same: why the bundle that its alias points to does not answer.
    note: str | None = None


ALIVE = HealthAnswer(status="alive")
