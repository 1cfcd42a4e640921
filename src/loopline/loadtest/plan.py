"""What a load test does: steps, pace, and what is promised."""

from __future__ import annotations

import re
from typing import Literal, get_args

from pydantic import Field

from loopline.core.errors import InputError
from loopline.core.records import Record

Metric = Literal["p50", "p95", "p99", "max", "errors", "rate"]
_SLO = re.compile(r"(?P<metric>[a-z0-9]+)\s*=\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|%|/s)?")
# How a unit turns a number into milliseconds, shares and per second; the first is taken where none is given.
_UNITS: dict[str, dict[str, float]] = {
    "latency": {"ms": 1.0, "s": 1000.0},
    "errors": {"%": 0.01},
    "rate": {"/s": 1.0},
}


class Slo(Record):
    """A promise: latencies and errors at most `limit`, the rate at least that."""

    metric: Metric
    # Milliseconds, a share, or answers per second.
    limit: float = Field(ge=0)


class LoadSettings(Record):
    """How many ask, for how long, and how fast."""

    users: int = Field(default=8, ge=1, le=10_000)
    # Of the whole test; steps share it equally.
    duration_s: float = Field(default=30.0, gt=0, le=86_400)
    # Up from one user, doubling.
    is_ramp: bool = False
    # Requests per second of all users together; None: each asks when it was answered.
    rate_per_s: float | None = Field(default=None, gt=0)
    slos: tuple[Slo, ...] = ()
    timeout_s: float = Field(default=30.0, gt=0)

    @property
    def steps(self) -> tuple[int, ...]:
        """The users of each step: 1, 2, 4, … and last `users`."""
        if not self.is_ramp:
            return (self.users,)
        return (*(2**power for power in range(self.users.bit_length()) if 2**power < self.users), self.users)

    @property
    def step_s(self) -> float:
        """How long a step lasts."""
        return self.duration_s / len(self.steps)


class PreparedRequest(Record):
    """One request as it goes over the wire, made once and sent often."""

    body: bytes
    content_type: str


class Plan(Record):
    """What the process that asks is given."""

    url: str
    headers: dict[str, str] = {}
    requests: tuple[PreparedRequest, ...] = Field(min_length=1)
    steps: tuple[int, ...] = Field(min_length=1)
    step_s: float = Field(gt=0)
    rate_per_s: float | None = None
    timeout_s: float


def parse_slo(text: str) -> Slo:
    """`p99=200ms`, `errors=1%`, `rate=100/s` as a promise; raises `InputError` for anything else."""
    match = _SLO.fullmatch(text.strip())
    metric = match["metric"] if match else ""
    units = _UNITS.get(metric, _UNITS["latency"])
    unit = (match["unit"] if match else None) or next(iter(units))
    if match is None or metric not in get_args(Metric) or unit not in units:
        raise InputError(f"promise '{text}' given; expected one as p99=200ms, p50=0.1s, errors=1% or rate=100/s.")
    return Slo.model_validate({"metric": metric, "limit": float(match["number"]) * units[unit]})
