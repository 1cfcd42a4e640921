"""GitHub Actions workflows: what triggers them, their jobs with matrix and runner, the steps of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loopline.core.records.audit import Evidence
from loopline.repository.configs import Config, at

_PATH = re.compile(r"^\.github/workflows/[^/]+\.ya?ml$")


@dataclass(frozen=True)
class Step:
    """One step: the action it uses without its version, or the commands that it runs."""

    line: int | None
    name: str
    uses: str
    run: str
    arguments: Mapping[str, Any]
    run_line: int | None = None
    # `if: false` and the like switch a step off.
    is_off: bool = False


@dataclass(frozen=True)
class Job:
    """One job: its runner as written, its matrix, its steps; `uses` names a reusable workflow instead of steps."""

    name: str
    line: int | None
    runs_on: Any
    matrix: Mapping[str, Any]
    steps: tuple[Step, ...]
    uses: str = ""
    is_off: bool = False

    @property
    def can_start(self) -> bool:
        """False where the runner is a list of several systems: it asks for one machine that is all of them."""
        systems = {
            label.split("-")[0]
            for label in (self.runs_on if isinstance(self.runs_on, list) else [self.runs_on])
            if isinstance(label, str) and re.match(r"(ubuntu|windows|macos)-", label)
        }
        return not self.is_off and len(systems) <= 1


@dataclass(frozen=True)
class Workflow:
    """One workflow: each event that starts it with the event's settings, and its jobs."""

    path: str
    name: str
    events: Mapping[str, Any]
    jobs: tuple[Job, ...]

    @property
    def steps(self) -> Iterator[Step]:
        """The steps of all jobs that can start, but for those switched off."""
        return (step for job in self.jobs if job.can_start for step in job.steps if not step.is_off)

    def evidence(self, line: int | None, sentence: str) -> Evidence:
        """Evidence in this file."""
        return Evidence(path=self.path, line=line, sentence=sentence)


def is_workflow(path: str) -> bool:
    """Whether GitHub runs the file as a workflow, from where it lies."""
    return bool(_PATH.match(path))


def read_workflow(config: Config) -> Workflow | None:
    """The workflow that a YAML file describes; None where it has no jobs or no event."""
    jobs = config.get("jobs")
    events = _events(config.get("on"))
    if not isinstance(jobs, Mapping) or not events:
        return None
    read = (_read_job(config, str(name), job) for name, job in jobs.items() if isinstance(job, Mapping))
    return Workflow(config.path, str(config.get("name") or ""), events, tuple(read))


def _read_steps(config: Config, *place: str | int) -> tuple[Step, ...]:
    steps = config.get(*place)
    if not isinstance(steps, list):
        return ()
    return tuple(
        Step(
            line=config.line(*place, index),
            name=str(step.get("name") or ""),
            uses=str(step.get("uses") or "").partition("@")[0],
            run=str(step.get("run") or ""),
            arguments=step["with"] if isinstance(step.get("with"), Mapping) else {},
            run_line=config.line(*place, index, "run"),
            is_off=_is_never(step.get("if")),
        )
        for index, step in enumerate(steps)
        if isinstance(step, Mapping)
    )


def _read_job(config: Config, name: str, job: Mapping[str, Any]) -> Job:
    matrix = at(job, "strategy", "matrix")
    return Job(
        name=name,
        line=config.line("jobs", name),
        runs_on=job.get("runs-on"),
        matrix=matrix if isinstance(matrix, Mapping) else {},
        steps=_read_steps(config, "jobs", name, "steps"),
        uses=str(job.get("uses") or ""),
        is_off=_is_never(job.get("if")),
    )


def _events(value: Any) -> dict[str, Any]:
    """`on: push`, `on: [push]` and `on: {push: …}` as one mapping."""
    if isinstance(value, str):
        return {value: None}
    if isinstance(value, list):
        return {str(event): None for event in value}
    return {str(event): settings for event, settings in value.items()} if isinstance(value, Mapping) else {}


def _is_never(condition: Any) -> bool:
    return condition is False or (
        isinstance(condition, str) and re.sub(r"[\s${}]", "", condition).lower() in ("false", "0")
    )
