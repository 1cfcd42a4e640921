"""`ServedComparison`: what two models answered to the same people, from the prediction log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from loopline.core.records.dataset import Task
from loopline.core.records.evaluation import PairedComparison
from loopline.core.records.record import Digest, Record


class ServedSide(Record):
    """What one of the two did in the window."""

    model: str
    bundle_digest: Digest
    num_answers: int = Field(ge=1)
    # Of them: with a truth, and rated.
    num_labelled: int = Field(ge=0)
    num_up: int = Field(ge=0)
    num_down: int = Field(ge=0)
    # The mean over those with a truth, of the comparison's metric.
    score: float | None
    # Time of the engine's call.
    p50_infer_ms: float = Field(ge=0)
    p95_infer_ms: float = Field(ge=0)


class ServedComparison(Record):
    """A challenger beside a champion, by what is known of the requests that they answered.

    `paired` judges requests that both saw (a shadow); `difference` those that one or the other saw (a split). Both are
    the challenger's score minus the champion's, higher is better, with 95% intervals; None where nothing is known.
    """

    task: Task
    # Accuracy and chrF are better high, the mean absolute error low; differences count what is gained.
    metric: Literal["accuracy", "mae", "chrf"]
    champion: ServedSide
    challenger: ServedSide
    # Requests that both answered, and the share of them to which both gave the same prediction.
    num_pairs: int = Field(ge=0)
    agreement: float | None = Field(ge=0, le=1)
    paired: PairedComparison | None
    difference: float | None
    low: float | None
    high: float | None
