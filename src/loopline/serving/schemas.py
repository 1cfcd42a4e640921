"""What goes over the wire: requests that refuse unknown fields, answers, and the one shape of an error."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from loopline.core.records import Record, TensorSpec, TransformStep


class PredictBody(Record):
    """JSON that asks for one prediction: a picture as a file, or its pixel values."""

    image: str | None = Field(None, description="The file's bytes (PNG, JPEG, …) in base64.")
    pixels: Any = Field(None, description="Whole numbers, 0 to 255: height×width or height×width×channels.")

    @model_validator(mode="after")
    def _one_is_given(self) -> Self:
        if (self.image is None) == (self.pixels is None):
            raise ValueError("expected exactly one of 'image' and 'pixels'")
        return self


class FeedbackBody(Record):
    """The true label of an answered request."""

    request_id: str = Field(description="The request_id of the answer.")
    label: str = Field(description="The true label, one of the model's label names.")


class Timings(Record):
    """Where the time went, in milliseconds; `total_ms` runs from the request's first byte."""

    decode_ms: float
    queue_ms: float
    infer_ms: float
    total_ms: float


class PredictAnswer(Record):
    """One prediction; `probabilities` has the likeliest label first."""

    request_id: str
    model: str
    bundle_digest: str
    label: str
    confidence: float
    probabilities: dict[str, float]
    batch_size: int
    timings_ms: Timings


class ErrorDetail(Record):
    """What went wrong: `code` for programs, `message` for people, `next` for what to do about it."""

    code: str
    message: str
    next: str | None = None


class ErrorBody(Record):
    """The body of every response that is no answer."""

    error: ErrorDetail
    request_id: str


class BatchItem(Record):
    """One file of a batch: its answer, or why there is none."""

    file: str
    answer: PredictAnswer | None = None
    error: ErrorDetail | None = None


class BatchAnswer(Record):
    """The files of a batch in their order."""

    request_id: str
    items: list[BatchItem]


class FeedbackAnswer(Record):
    """A label that was kept, and whether the prediction had been right."""

    request_id: str
    predicted: str
    label: str
    correct: bool


class Limits(Record):
    """What a request may ask for."""

    max_body_bytes: int
    # Width times height; refused from the file's header.
    max_pixels: int
    # Numbers and lists in one JSON body.
    max_json_values: int
    max_batch_files: int
    max_queue_size: int
    request_timeout_s: float


class ModelAnswer(Record):
    """The model that answers: its names, signature, card and limits."""

    model: str
    name: str
    bundle_digest: str
    run_id: str
    dataset: str
    licence: str
    label_names: tuple[str, ...]
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
