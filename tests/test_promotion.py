"""A whole promotion on a real server: a shadow, its comparison, and the switch under load, logged in PostgreSQL."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from loopline.cli.compare import compare
from loopline.core.workspace import Workspace
from loopline.delivery import compare_served
from loopline.loop import promote, register
from loopline.prediction_log import open_log
from loopline.testing import make_bundle, make_png

pytestmark = pytest.mark.slow

CHAMPION, CHALLENGER = "shapes@champion", "shapes@challenger"
BOUNDARY = "a-boundary"
KIND = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
BODY = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'.encode()
    + make_png(seed=3)
    + f"\r\n--{BOUNDARY}--\r\n".encode()
)


@pytest.fixture
def digests(workspace: Workspace) -> dict[str, str]:
    """Two registered versions: a champion and a challenger, by alias."""
    found = {}
    for seed, alias in ((0, "champion"), (5, "challenger")):
        version = register(str(make_bundle(workspace.bundles, seed=seed)), name="shapes", workspace=workspace)
        promote(version, alias, force="a test", workspace=workspace)
        found[alias] = version.bundle_digest
    return found


@contextmanager
def serving(workspace: Workspace, log: str, errors: Path) -> Iterator[int]:
    """`loopline serve` in two processes with everything as a shadow; its port."""
    options = ["--port", "0", "--num-workers", "2", "--watch-interval-s", "0.1", "--log", log]
    options += ["--shadow", CHALLENGER, "--shadow-rate", "1"]
    command = [sys.executable, "-m", "loopline", "--home", str(workspace.root), "serve", CHAMPION, *options]
    with errors.open("w") as file, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert " at http://" in line, errors.read_text()
            yield int(line.strip().rpartition(":")[2])
        finally:
            process.terminate()
            assert process.wait(60) == 0


def post(port: int, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, {**KIND, **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.05)


def test_a_promotion_from_shadow_to_champion(
    workspace: Workspace, digests: dict[str, str], postgres: Any, tmp_path: Path
) -> None:
    """Nothing fails, every answer carries the digest of what made it, and every row is in the database."""
    log = postgres.url(f"promotion_{uuid.uuid4().hex[:8]}")
    answers: list[tuple[int, str]] = []
    may_end = threading.Event()

    def work(port: int) -> None:
        while not may_end.is_set():
            status, answer = post(port, "/predict", BODY)
            answers.append((status, answer.get("bundle_digest", "")))

    with serving(workspace, log, tmp_path / "server.err") as port:
        for index in range(12):
            _, answer = post(port, "/predict", BODY, **{"X-Request-ID": f"labelled-{index}"})
            said = json.dumps({"request_id": answer["request_id"], "label": "cross"}).encode()
            status, kept = post(port, "/feedback", said, **{"Content-Type": "application/json"})
            assert status == 200, kept

        def num_shadowed() -> int:
            with open_log(log) as opened:
                return len(opened.read(model=CHALLENGER))

        until(lambda: num_shadowed() == 12)
        comparison = compare_served(CHAMPION, CHALLENGER, log=log, workspace=workspace)
        assert comparison.num_pairs == 12
        assert comparison.paired is not None
        assert comparison.paired.num_examples == 12
        shown = CliRunner().invoke(compare, [CHAMPION, CHALLENGER, "--log", log], obj=workspace)
        assert shown.exit_code == 0, shown.output
        assert "12 requests have both answers" in shown.stdout

        threads = [threading.Thread(target=work, args=(port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(answers) > 20)
        promote(f"shapes@{CHALLENGER.partition('@')[2]}", "champion", force="better", workspace=workspace)
        until(lambda: all(digest == digests["challenger"] for _, digest in answers[-20:]))
        may_end.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in answers} == {200}
    assert {digest for _, digest in answers} == set(digests.values())
    with open_log(log) as opened:
        rows = opened.read(model=CHAMPION)
    assert Counter(row.bundle_digest for row in rows if not row.label) == Counter(digest for _, digest in answers)
