"""`Plan`, `Deployment` and `CloudJob`: what would be done, what runs because of us, and what it costs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from loopline.core.records.cloud import CloudSettings, PlaceName, TargetName
from loopline.core.records.record import Digest, Name, Record, Time

StepKind = Literal["command", "request", "check"]
DeploymentStatus = Literal["serving", "failed", "destroyed"]
JobStatus = Literal["submitted", "running", "completed", "failed", "stopped"]


class Step(Record):
    """One step: a command as it is typed, a request as it is sent, or a look at what came of it."""

    title: str
    kind: StepKind
    # `docker push …`, or `PUT run.v1 namespaces.services.replaceService service.yaml`.
    text: str


class CostLine(Record):
    """One thing that is paid for, at its unit's price."""

    what: str
    usd_per_hour: float = Field(ge=0)


class CostEstimate(Record):
    """US dollars without taxes and free tiers: while it works, while nobody asks, and for what it does."""

    usd_per_hour: float = Field(ge=0)
    usd_per_idle_day: float = Field(ge=0)
    # Of a service, at a mean time per request.
    usd_per_1000_requests: float | None = Field(None, ge=0)
    # Of a job that takes all the time that it may.
    max_usd_per_run: float | None = Field(None, ge=0)
    lines: tuple[CostLine, ...] = ()
    prices_as_of: str
    region: str


class Plan(Record):
    """Everything that a deployment or a job would write, type and send."""

    schema_version: Literal[1] = 1
    target: TargetName | PlaceName
    name: Name
    subject: str
    folder: str
    files: tuple[str, ...]
    steps: tuple[Step, ...]
    cost: CostEstimate | None = None


class Deployment(Record):
    """A model at a target: which bundle, where, and what served before it."""

    schema_version: Literal[1] = 1
    name: Name
    target: TargetName
    model: str
    bundle_digest: Digest
    image: str
    status: DeploymentStatus
    url: str | None = None
    # The target's own name of what serves, and of what served before.
    revision: str | None = None
    previous_revision: str | None = None
    # Of the traffic, that this revision gets.
    share_percent: int = Field(100, ge=0, le=100)
    settings: CloudSettings
    cost: CostEstimate | None = None
    error: str | None = None
    deployed_at: Time


class CloudJob(Record):
    """A training on another machine; `resource` is the cloud's own name of the job or the machine."""

    schema_version: Literal[1] = 1
    job_id: Name
    place: PlaceName
    status: JobStatus
    overrides: tuple[str, ...]
    dataset: Name
    # Where data, runs and the job's own state lie, as `gs://bucket/jobs/ID`.
    url: str
    image: str
    resource: str | None = None
    num_restarts: int = Field(0, ge=0)
    run_id: Name | None = None
    settings: CloudSettings
    cost: CostEstimate
    error: str | None = None
    submitted_at: Time
    ended_at: Time | None = None


class JobState(Record):
    """How a training on another machine goes, as that machine says: `state.json` beside what it sends home."""

    schema_version: Literal[1] = 1
    status: JobStatus
    run_id: Name | None = None
    error: str | None = None
    written_at: Time


class RunningResource(Record):
    """Something that is paid for now and carries our label."""

    kind: str
    name: str
    where: str
    since: Time | None = None
    state: str
    usd_per_hour: float = Field(ge=0)
