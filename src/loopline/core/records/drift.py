"""`DriftReport`: does a window of predictions look like the bundle's reference?"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from loopline.core.records.record import Digest, Record, Time


class DriftTest(Record):
    """One two-sample test between reference and current; `corrected_p` accounts for all tests of the report.

    `effect` says how large the difference is, from 0 (none) to 1, whatever the number of examples; a difference below
    `minimum_effect` is no drift, however certain it is.
    """

    feature: str
    method: str
    statistic: float
    p: float = Field(ge=0, le=1)
    corrected_p: float = Field(ge=0, le=1)
    effect: float = Field(ge=0, le=1)
    minimum_effect: float = Field(ge=0, le=1)
    drifted: bool


class DriftReport(Record):
    """All tests of one window; `false_alarm_rate` is the stated chance that any test fires where nothing changed."""

    schema_version: Literal[1] = 1
    model: str
    bundle_digest: Digest
    reference_digest: Digest
    window_start: Time | None
    window_end: Time | None
    num_reference: int = Field(ge=1)
    num_current: int = Field(ge=1)
    false_alarm_rate: float = Field(gt=0, lt=1)
    tests: tuple[DriftTest, ...] = Field(min_length=1)
    drifted: bool
    created_at: Time

    @model_validator(mode="after")
    def _verdict_agrees(self) -> Self:
        if self.drifted != any(test.drifted for test in self.tests):
            raise ValueError("the verdict differs from the tests'")
        return self
