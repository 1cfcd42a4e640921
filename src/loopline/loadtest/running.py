"""Starts Locust in a process of its own and reads what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from base64 import b64decode, b64encode
from pathlib import Path
from typing import NamedTuple

from loopline.core.errors import MissingExtra, StateError
from loopline.core.store import write_json
from loopline.loadtest.plan import Plan, PreparedRequest

PLAN_VARIABLE = "LOOPLINE_LOAD_PLAN"
WEB_VARIABLE = "LOOPLINE_LOAD_WEB"
# To start, and to end after the last step.
_SLACK_S = 60.0


class Sample(NamedTuple):
    """One request: when it was over, how long it took, and what went wrong."""

    at_s: float
    latency_ms: float
    # Empty for a right answer.
    problem: str


def run_load(plan: Plan) -> list[Sample]:
    """Runs a plan to its end; raises `MissingExtra` without Locust and `StateError` where it fails."""
    _require_locust()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        write_plan(path, plan)
        command = [*_command(), "--headless", "--only-summary", "--loglevel", "ERROR"]
        environment = {**os.environ, PLAN_VARIABLE: str(path)}
        limit_s = plan.step_s * len(plan.steps) + plan.timeout_s + _SLACK_S
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and file
                command, env=environment, capture_output=True, text=True, check=False, timeout=limit_s
            )
        except subprocess.TimeoutExpired as error:
            raise StateError(
                f"Locust did not end within {limit_s:.0f} s; expected {limit_s - _SLACK_S:.0f}."
            ) from error
        if not samples_path(path).exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise StateError(f"Locust ended with {done.returncode}: {last}")
        return read_samples(samples_path(path))


def open_web(plan: Plan, *, port: int) -> int:
    """Runs Locust with its page on this machine's `port` until Ctrl-C; returns its exit code."""
    _require_locust()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        write_plan(path, plan)
        command = [*_command(), "--web-host", "127.0.0.1", "--web-port", str(port), "--users", str(plan.steps[-1])]
        environment = {**os.environ, PLAN_VARIABLE: str(path), WEB_VARIABLE: "1"}
        done = subprocess.run(command, env=environment, check=False)  # noqa: S603 - our own interpreter and file
        return done.returncode


def write_plan(path: Path, plan: Plan) -> None:
    """Writes a plan as JSON; bodies are bytes, and stand there in base64."""
    value = plan.model_dump(mode="python")
    value["requests"] = [{**each, "body": b64encode(each["body"]).decode()} for each in value["requests"]]
    write_json(path, value)


def read_plan(path: Path) -> Plan:
    """Reads what `write_plan` wrote."""
    value = json.loads(path.read_text(encoding="utf-8"))
    requests = [PreparedRequest(**{**each, "body": b64decode(each["body"])}) for each in value.pop("requests")]
    return Plan(**value, requests=tuple(requests))


def samples_path(plan: Path) -> Path:
    """Where the process that asks writes what it found."""
    return plan.with_name("samples.tsv")


def read_samples(path: Path) -> list[Sample]:
    """Reads what that process wrote, in the order in which requests ended."""
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return [Sample(float(at), float(latency), problem) for at, latency, problem in rows]


def _command() -> list[str]:
    return [sys.executable, "-P", "-m", "locust", "-f", str(Path(__file__).with_name("users.py"))]


def _require_locust() -> None:
    from importlib.util import find_spec

    if find_spec("locust") is None:
        raise MissingExtra("locust", "loadtest")
