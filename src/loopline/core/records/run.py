"""`Run`: the lock of what made a result: code, data, configuration, environment, times, figures, files."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from loopline.core.records.record import Digest, Name, Record, Time

RunKind = Literal["train", "trial", "evaluate", "export", "optimize", "retrain"]
RunStatus = Literal["running", "completed", "failed", "interrupted"]


class Artifact(Record):
    """A file that a run left, by its path inside the run's folder."""

    path: str
    kind: str
    digest: Digest
    num_bytes: int = Field(ge=0)


class CodeState(Record):
    """The code that ran: the commit and, where the tree was not clean, the digest of its diff (kept as `code.diff`)."""

    commit: str | None = None
    dirty: bool = False
    diff_digest: Digest | None = None
    loopline_version: str


class Environment(Record):
    """The machine and packages that ran the code; `packages_digest` is of the sorted `name==version` lines."""

    python: str
    platform: str
    device: str
    num_cpus: int = Field(ge=1)
    packages_digest: Digest


class DatasetRef(Record):
    """The snapshot that a run read."""

    name: Name
    version: Digest


class Run(Record):
    """One computation; a completed run has an end and finite metrics, a failed one an end and an error."""

    schema_version: Literal[1] = 1
    run_id: Name
    kind: RunKind
    status: RunStatus
    config: dict[str, Any]
    config_digest: Digest
    overrides: tuple[str, ...] = ()
    dataset: DatasetRef
    code: CodeState
    environment: Environment
    seed: int
    started_at: Time
    ended_at: Time | None = None
    num_steps: int = Field(default=0, ge=0)
    num_resumes: int = Field(default=0, ge=0)
    # Names are `split/name`, as `validation/accuracy`.
    metrics: dict[str, float] = {}
    artifacts: tuple[Artifact, ...] = ()
    parent: str | None = None
    tracker: str = "none"
    tracker_run_id: str | None = None
    error: str | None = None

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.status in ("completed", "failed") and self.ended_at is None:
            raise ValueError(f"a {self.status} run needs ended_at")
        if self.status == "running" and self.ended_at is not None:
            raise ValueError("a running run has no end")
        if (self.status == "failed") != (self.error is not None):
            raise ValueError("a run has an error exactly when it failed")
        if self.ended_at is not None and self.ended_at < self.started_at:
            raise ValueError("a run cannot end before it starts")
        return self

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end, or None while it runs."""
        return None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()
