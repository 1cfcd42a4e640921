"""Locust's side: runs in a process of its own, because importing Locust changes how all of Python waits.

Reads the plan that the variable LOOPLINE_LOAD_PLAN names, and writes beside it, when the load is over, one line per
request: seconds since the start, milliseconds, and what went wrong (nothing where all went well).
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, LoadTestShape, constant_throughput, events, task

from loopline.loadtest.running import PLAN_VARIABLE, read_plan, samples_path

_PLAN_PATH = Path(os.environ[PLAN_VARIABLE])
_PLAN = read_plan(_PLAN_PATH)
_NEXT = itertools.cycle(_PLAN.requests)
# All users of a step begin at once.
_SPAWN_RATE = 1000.0
_SAMPLES: list[str] = []
_START_S = time.perf_counter()


class Client(FastHttpUser):
    """Asks for one prediction after the other, each time with the next example."""

    host = _PLAN.url
    network_timeout = _PLAN.timeout_s
    connection_timeout = _PLAN.timeout_s
    # The pace of one of `steps[-1]` users; a slow answer makes its user late, never early.
    if _PLAN.rate_per_s is not None:
        wait_time = constant_throughput(_PLAN.rate_per_s / _PLAN.steps[-1])

    @task
    def predict(self) -> None:
        """One request."""
        request = next(_NEXT)
        headers = {**_PLAN.headers, "Content-Type": request.content_type}
        self.client.post("/predict", data=request.body, headers=headers)  # type: ignore[arg-type]  # takes bytes


if "LOOPLINE_LOAD_WEB" not in os.environ:

    class Steps(LoadTestShape):
        """Holds each step's users for its time, then stops."""

        def tick(self) -> tuple[int, float] | None:
            """The users of the present step, and how many may begin in a second."""
            run_s: float = self.get_run_time()  # type: ignore[no-untyped-call]  # Locust's own
            index = int(run_s // _PLAN.step_s)
            return None if index >= len(_PLAN.steps) else (_PLAN.steps[index], _SPAWN_RATE)


def _begin(**_: Any) -> None:
    global _START_S  # noqa: PLW0603 - Locust's listeners have no object of their own
    _START_S = time.perf_counter()


def _note(response_time: float, exception: Any, response: Any = None, **_: Any) -> None:
    status = getattr(response, "status_code", 0)
    problem = "" if exception is None else str(status or type(exception).__name__)
    _SAMPLES.append(f"{time.perf_counter() - _START_S:.4f}\t{response_time:.3f}\t{problem}")


def _write(**_: Any) -> None:
    samples_path(_PLAN_PATH).write_text("\n".join(_SAMPLES), encoding="utf-8")


for _event, _listener in ((events.test_start, _begin), (events.request, _note), (events.quitting, _write)):
    _event.add_listener(_listener)  # type: ignore[no-untyped-call]  # Locust's own
