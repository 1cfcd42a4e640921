"""`Contract`: what a platform gives a container and demands of it; `ContractRun`: whether one held, with figures."""

from __future__ import annotations

from datetime import date
from typing import Literal, Self

from pydantic import Field, model_validator

from loopline.core.errors import InputError
from loopline.core.records.record import Name, Record, Time

MIB = 1 << 20


class MemoryRule(Record):
    """How much memory a container gets, and how to ask for more; sizes in MiB, ascending."""

    default_mib: int = Field(ge=1)
    sizes_mib: tuple[int, ...] = Field(min_length=1)
    # What to type for another size: `{mib}`, `{gib}` or `{size}` (as 512Mi, 2Gi) stand for it.
    advice: str = Field(min_length=1)

    @model_validator(mode="after")
    def _sizes_ascend(self) -> Self:
        if list(self.sizes_mib) != sorted(set(self.sizes_mib)):
            raise ValueError("sizes_mib must ascend")
        return self

    def smallest_fit_mib(self, needed_bytes: int) -> int | None:
        """The smallest size that holds so many bytes, or None where the platform has none."""
        return next((size for size in self.sizes_mib if size * MIB >= needed_bytes), None)


class DiskRule(Record):
    """What a container may write: nothing but the folders named here."""

    writable: tuple[str, ...] = ("/tmp",)  # noqa: S108 - of the container, not of this machine
    # Whether what lies there counts as memory, as it does where the folder is one in memory.
    counts_as_memory: bool
    # None: as much as there is memory or disk.
    limit_mib: int | None = Field(default=None, ge=1)


class PortRule(Record):
    """Where requests arrive; `variable` is the variable that tells the container."""

    number: int = Field(ge=1, le=65535)
    variable: str | None


class RouteRule(Record):
    """Which paths the platform asks, and in which envelope a prediction travels.

    `plain`: the server's own bodies; `instances`: `{"instances": [body, …]}` in, `{"predictions": [answer, …]}` out.
    """

    health: str
    predict: str
    # The variables that tell the container of the two paths; empty where the container chooses them.
    health_variable: str | None = None
    predict_variable: str | None = None
    envelope: Literal["plain", "instances"] = "plain"


class Limits(Record):
    """Times and sizes that end a request or a container; None where the platform sets none."""

    start_s: float | None = Field(default=None, gt=0)
    request_s: float | None = Field(default=None, gt=0)
    stop_s: float = Field(gt=0)
    # Requests that one container works on at a time.
    concurrency: int | None = Field(default=None, ge=1)
    request_bytes: int | None = Field(default=None, ge=1)
    answer_bytes: int | None = Field(default=None, ge=1)
    # Uncompressed.
    image_bytes: int | None = Field(default=None, ge=1)


class Contract(Record):
    """A platform's promises and demands, as its makers published them on a day."""

    schema_version: Literal[1] = 1
    name: Name
    title: str
    kind: Literal["service", "job"]
    # Pages of the platform's makers, read on the day `read_on`.
    sources: tuple[str, ...] = Field(min_length=1)
    read_on: date
    platforms: tuple[str, ...] = Field(min_length=1)
    # Variables that every container is given, with values like the real ones.
    environment: dict[str, str]
    # Folders that a job finds under these variables and must not find empty at its end.
    output_variables: tuple[str, ...] = ()
    num_cpus: float = Field(gt=0)
    memory: MemoryRule
    disk: DiskRule
    limits: Limits
    port: PortRule | None = None
    routes: RouteRule | None = None

    @model_validator(mode="after")
    def _a_service_is_asked(self) -> Self:
        if self.kind == "service" and (self.port is None or self.routes is None):
            raise ValueError("a service needs a port and routes")
        if self.kind == "job" and (self.port is not None or self.routes is not None):
            raise ValueError("a job has neither port nor routes")
        return self

    def service_rules(self) -> tuple[PortRule, RouteRule]:
        """Where requests arrive and which paths they ask; raises `InputError` for a contract of jobs."""
        if self.port is None or self.routes is None:
            raise InputError(f"contract '{self.name}' is one of jobs; expected one of services, as cloudrun.")
        return self.port, self.routes


class ContractCheck(Record):
    """One demand of a contract: whether it was met, what was found, and what mends it where it was not."""

    name: Name
    # None: it could not be looked at here; `found` says why.
    passed: bool | None
    found: str
    fix: str | None = None


class ContractRun(Record):
    """How a container, or the command that it would start, did under a contract."""

    schema_version: Literal[1] = 1
    contract: Name
    subject: str
    # What stood between the command and this machine: `bubblewrap`, `docker`, `process`.
    isolation: Name
    memory_limit_mib: int = Field(ge=1)
    checks: tuple[ContractCheck, ...]
    # Figures that could be measured; None otherwise.
    peak_memory_bytes: int | None = Field(default=None, ge=0)
    smallest_fit_mib: int | None = Field(default=None, ge=1)
    cold_start_s: float | None = Field(default=None, ge=0)
    stop_s: float | None = Field(default=None, ge=0)
    image_bytes: int | None = Field(default=None, ge=0)
    exit_code: int | None = None
    created_at: Time

    @property
    def passed(self) -> bool:
        """True where no demand was found unmet."""
        return all(check.passed is not False for check in self.checks)
