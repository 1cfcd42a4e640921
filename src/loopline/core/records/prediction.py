"""`Prediction`: one row of the prediction log. The raw input is never part of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from loopline.core.records.record import Digest, Record, Time


class Prediction(Record):
    """One answered request: what was asked (by digest), what was answered, by which bundle, and how long it took."""

    schema_version: Literal[1] = 1
    request_id: str
    created_at: Time
    model: str
    bundle_digest: Digest
    input_digest: Digest
    embedding: tuple[float, ...]
    # Label name to probability, `value`, `low` and `high` to quantities, a text's features to numbers; in the
    # predictor's order.
    outputs: dict[str, float]
    # The label, the value in six digits, the text.
    predicted: str
    status: Literal["ok", "error"] = "ok"
    batch_size: int = Field(ge=1)
    decode_ms: float = Field(ge=0)
    queue_ms: float = Field(ge=0)
    infer_ms: float = Field(ge=0)
    total_ms: float = Field(ge=0)
    # When `/feedback` brought them: the truth (a label, a number, a corrected text), and what somebody thought of it.
    label: str | None = None
    rating: Literal["up", "down"] | None = None
    # Of the newest of both.
    labelled_at: Time | None = None
