"""A server in a process of its own, as a user starts it, and a client that keeps it busy."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopline.core.errors import StateError
from loopline.core.form import file_form
from loopline.core.progress import track
from loopline.core.workspace import Workspace

_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0
_REQUEST_TIMEOUT_S = 30.0
_POLL_S = 0.05


@dataclass(frozen=True)
class RunningServer:
    """Where a server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The address to type into a browser."""
        return f"http://{self.host}:{self.port}"

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET request."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_REQUEST_TIMEOUT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@contextmanager
def running_server(model: str, workspace: Workspace, *, log: Path) -> Iterator[RunningServer]:
    """Runs `loopline serve MODEL` on a free port until the block ends, then stops it as a user would (SIGTERM).

    What the server says goes to the file `log`. Raises `StateError` where it does not get ready, or does not end well.
    """
    port = _free_port()
    arguments = ["--home", str(workspace.root), "serve", model, "--port", str(port)]
    command = [sys.executable, "-P", "-m", "loopline", *arguments]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603 - our own command
        try:
            server = RunningServer("127.0.0.1", port)
            _wait_until_ready(server, process, log)
            yield server
        finally:
            process.terminate()
            try:
                code = process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise StateError(f"the server did not stop within {_STOP_TIMEOUT_S:.0f} s; see '{log}'.") from None
    if code != 0:
        raise StateError(f"the server ended with exit code {code}; expected 0. See '{log}'.")


def post_pictures(
    server: RunningServer, raws: Sequence[bytes], *, num_clients: int, description: str
) -> list[dict[str, Any]]:
    """Posts every file to /predict, `num_clients` at a time on connections that stay open; the answers in order.

    Raises `StateError` for the first that is refused.
    """
    chunks = [range(start, len(raws), num_clients) for start in range(num_clients)]
    answers: list[dict[str, Any]] = [{} for _ in raws]

    def work(indices: range) -> None:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=_REQUEST_TIMEOUT_S)
        try:
            for index in indices:
                answers[index] = _post_picture(connection, raws[index])
        finally:
            connection.close()

    with ThreadPoolExecutor(num_clients) as pool:
        # The bar moves with the clients, who share the pictures evenly.
        for future in track([pool.submit(work, chunk) for chunk in chunks], description):
            future.result()
    return answers


def _post_picture(connection: http.client.HTTPConnection, raw: bytes) -> dict[str, Any]:
    body, content_type = file_form(raw, filename="picture.png")
    connection.request("POST", "/predict", body, {"Content-Type": content_type})
    response = connection.getresponse()
    text = response.read()
    if response.status != http.client.OK:
        raise StateError(f"the server refused a picture with {response.status}: {text[:300].decode(errors='replace')}")
    answer: dict[str, Any] = json.loads(text)
    return answer


def _wait_until_ready(server: RunningServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = log.read_text(errors="replace").strip().splitlines()
            raise StateError(f"the server did not start: {said[-1] if said else 'it said nothing'}")
        try:
            if server.get("/readyz")[0] == http.client.OK:
                return
        except OSError:
            # Not listening yet.
            pass
        time.sleep(_POLL_S)
    raise StateError(f"the server was not ready within {_READY_TIMEOUT_S:.0f} s; see '{log}'.")


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
