"""The metrics of several processes are one: they add up wherever they are read, and outlive one that is killed."""

from __future__ import annotations

import http.client
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="worker processes are forked on Linux only")


def scrape(port: int) -> dict[str, float]:
    """Every series with its value, read on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics", headers={"Connection": "close"})
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def test_metrics_are_of_all_workers(
    server: Callable[..., AbstractContextManager[Any]], body_of: Callable[..., bytes], picture: bytes
) -> None:
    """Twenty requests over two processes are twenty, whichever is asked and whichever of them dies."""
    asked = 'loopline_requests_total{method="POST",route="/predict",status="200"}'
    with server("--num-workers", "2") as process:
        answers = [process.post(body_of(picture))[1] for _ in range(20)]
        digest = answers[0]["bundle_digest"]
        for _ in range(4):
            series = scrape(process.port)
            assert series[asked] == 20
            assert series["loopline_batch_size_count"] == 20
            assert series["loopline_ready"] == 1
            assert series["loopline_queue_depth"] == 0
            model = next(name for name in series if name.startswith("loopline_model_info"))
            assert digest in model
            assert series[model] == 2
        children = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children")
        killed = int(children.read_text().split()[0])
        os.kill(killed, signal.SIGKILL)
        deadline_s = time.monotonic() + 30
        while str(killed) in children.read_text().split() or len(children.read_text().split()) < 2:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        process.post(body_of(picture))
        assert scrape(process.port)[asked] == 21
