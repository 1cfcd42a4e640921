"""`LoadTest`: how a server answered under each load, where it stopped to gain, and whether it kept its promises."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from loopline.core.records.record import Digest, Record, Time


class LoadStep(Record):
    """One load, held for some seconds; latencies are those of right answers, and 0 where there was none."""

    # How many asked at the same time, each for the next answer when it had the last.
    users: int = Field(ge=1)
    # What was counted, without the first moments in which the load changed.
    seconds: float = Field(gt=0)
    num_requests: int = Field(ge=0)
    # Right answers only.
    rate_per_s: float = Field(ge=0)
    p50_ms: float = Field(ge=0)
    p95_ms: float = Field(ge=0)
    p99_ms: float = Field(ge=0)
    max_ms: float = Field(ge=0)
    # What went wrong, as `429` or `ConnectionRefusedError`, and how often.
    errors: dict[str, int] = {}

    @property
    def error_share(self) -> float:
        """Requests without a right answer, of all."""
        return sum(self.errors.values()) / self.num_requests if self.num_requests else 0.0


class SloResult(Record):
    """One promise about the last step: `metric` of it compared with `limit`, in milliseconds, shares or per second."""

    metric: Literal["p50", "p95", "p99", "max", "errors", "rate"]
    limit: float = Field(ge=0)
    found: float = Field(ge=0)
    is_kept: bool


class LoadTest(Record):
    """`load.json`; the last step is the load that was asked for, the ones before lead up to it."""

    schema_version: Literal[1] = 1
    url: str
    model: str
    bundle: Digest
    num_inputs: int = Field(ge=1)
    # Requests a second that were offered; None where each user asks as fast as it is answered.
    offered_rate: float | None = Field(default=None, gt=0)
    steps: tuple[LoadStep, ...] = Field(min_length=1)
    # The fewest users that reach nearly the highest rate: more of them only wait.
    knee_users: int = Field(ge=1)
    slos: tuple[SloResult, ...] = ()
    created_at: Time

    @model_validator(mode="after")
    def _knee_is_a_step(self) -> Self:
        if self.knee_users not in {step.users for step in self.steps}:
            raise ValueError(f"knee at {self.knee_users} users, which no step had")
        return self

    @property
    def are_slos_kept(self) -> bool:
        """True where every promise was kept, also where there was none."""
        return all(slo.is_kept for slo in self.slos)
