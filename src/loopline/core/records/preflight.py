"""`Preflight`: what would go wrong in a cloud, found out before anything is built or paid."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from loopline.core.records.record import Record, Time

# `warned`: it works, and is not good; `unknown`: nobody here may know.
PreflightStatus = Literal["passed", "failed", "warned", "unknown"]


class PreflightCheck(Record):
    """One question: what was found, why it matters, and the one command that mends it."""

    name: str = Field(min_length=1)
    status: PreflightStatus
    found: str = Field(min_length=1)
    why: str | None = None
    fix: str | None = None

    @model_validator(mode="after")
    def _failures_help(self) -> Self:
        if self.status == "failed" and not (self.why and self.fix):
            raise ValueError(f"check '{self.name}' failed without saying why it matters and what mends it")
        return self


class Preflight(Record):
    """All questions of one target."""

    schema_version: Literal[1] = 1
    target: str
    model: str | None = None
    checks: tuple[PreflightCheck, ...]
    duration_s: float = Field(ge=0)
    created_at: Time

    @property
    def passed(self) -> bool:
        return not any(check.status == "failed" for check in self.checks)
