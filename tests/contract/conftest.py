"""Small services that are run under contracts: scripts of a few lines, each with one thing wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from loopline.contract import Subject
from loopline.contract.isolation import isolation_here
from loopline.core.records import Contract

_SERVER = """
import http.server, json, os, signal, sys, time
{before}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200 if self.path == {health} else 404, {{"status": "ready"}})
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        {on_post}
        self.answer(200, {{"got": sorted(body)}})
    def answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(({host!r}, {port}), Handler)
{after}
server.serve_forever()
"""
_ENDS_ON_SIGNAL = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))"


@pytest.fixture
def service(tmp_path: Path) -> Callable[..., Subject]:
    """A service by what is special about it; without anything, one that keeps Cloud Run's contract."""

    def make(
        *,
        before: str = "",
        after: str = _ENDS_ON_SIGNAL,
        on_post: str = "pass",
        host: str = "0.0.0.0",  # noqa: S104 - of a network of its own
        port: str = 'int(os.environ["PORT"])',
        health: str = '"/readyz"',
        environment: Mapping[str, str] | None = None,
    ) -> Subject:
        script = tmp_path / "service.py"
        script.write_text(
            _SERVER.format(before=before, after=after, on_post=on_post, host=host, port=port, health=health)
        )
        return subject([sys.executable, "-I", "-S", str(script)], tmp_path, environment)

    return make


def subject(command: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> Subject:
    """A command of this machine's Python, whose folders the sandbox shows."""
    shown = (folder, Path(sys.prefix), Path(sys.base_prefix))
    return Subject(
        "service", tuple(command), environment or {}, visible={str(path): path for path in dict.fromkeys(shown)}
    )


@pytest.fixture
def sandbox() -> str:
    """The sandbox; skips where there is none."""
    if isolation_here() != "bubblewrap":
        pytest.skip("Bubblewrap does not work here")
    return "bubblewrap"


@pytest.fixture
def quick(contract: Contract) -> Contract:
    """The contract with little patience, for services that never become ready."""
    return contract.model_copy(update={"limits": contract.limits.model_copy(update={"start_s": 5.0})})


@pytest.fixture
def contract() -> Contract:
    from loopline.contract import read_contract

    return read_contract("cloudrun")
