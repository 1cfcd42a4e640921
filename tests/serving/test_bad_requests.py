"""The corpus of bad files and bodies against a real server, in small; `benchmarks/serving` sends ten thousand."""

from __future__ import annotations

import http.client
import importlib.util
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from loopline.predictor import LabelAnswer, PredictorLike, open_predictor
from loopline.serving.protocol import MAX_OVERHEAD_BYTES
from loopline.testing import make_bundle

Server = Callable[..., AbstractContextManager[Any]]
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "serving" / "bad_requests.py"
RARE = {
    "CMYK", "16-bit grey", "1-bit", "palette with transparency", "EXIF 3", "EXIF 6", "EXIF 8", "EXIF 200",
    "progressive", "JPEG that is HTML", "PNG and JPEG",
}  # fmt: skip


@pytest.fixture(scope="module")
def script() -> Any:
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("bad_requests", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bad_requests"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def colour_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of colour pictures; read only."""
    return make_bundle(tmp_path_factory.mktemp("colour"), mode="RGB", height=32, width=32)


@pytest.fixture(scope="module")
def colour(colour_folder: Path) -> PredictorLike:
    return open_predictor(colour_folder, num_threads=1)


class Shared(NamedTuple):
    """A server that several tests ask, and what it writes to standard error."""

    port: int
    process_id: int
    errors: Path


@pytest.fixture(scope="module")
def shared(colour_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A server of one process, whose engine waits a little for company, so that batches are mixed."""
    home = tmp_path_factory.mktemp("home")
    options = ["--port", "0", "--num-workers", "1", "--max-queue-delay-ms", "20"]
    command = [sys.executable, "-m", "loopline", "--home", str(home), "serve", str(colour_folder), *options]
    with (
        (home / "errors").open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        port = int(process.stdout.readline().strip().rpartition(":")[2])
        yield Shared(port, process.pid, home / "errors")
        process.terminate()
        # One process to the end, whatever was sent to it.
        assert process.wait(60) == 0


@pytest.fixture
def good(script: Any, colour: PredictorLike) -> tuple[bytes, str, float]:
    """A photograph with its answer."""
    raw = script.encoded(script.photo(seed=9), "JPEG")
    (answer,) = colour.predict_raw([raw])
    assert isinstance(answer, LabelAnswer)
    return raw, answer.label, answer.confidence


def test_bad_requests_do_no_harm(shared: Shared, script: Any, good: Any) -> None:
    """Every kind twice: no 5xx, no restart, right answers in between, and the second time costs no memory."""
    bad = script.corpus(good[0])
    # Where it is cut and which bits were flipped matter less than that it was done.
    broken = [request for request in bad if " cut at" in request.name or "flipped" in request.name]
    few = [request for request in bad if request not in broken] + broken[::8]
    first = script.send_all(shared.port, few, good, num_threads=4)
    before_bytes = script.resident_bytes(shared.process_id)
    second = script.send_all(shared.port, few, good, num_threads=4)
    grown_bytes = script.resident_bytes(shared.process_id) - before_bytes
    assert first.failures == second.failures == []
    assert second.num_right == len(range(0, len(few), 5))
    assert set(second.statuses) <= {200, 400, 413, 415, 422, 431}
    assert grown_bytes < 15_000_000, grown_bytes


def test_rare_pictures_are_answered_as_in_training(shared: Shared, script: Any, colour: PredictorLike) -> None:
    """CMYK, 16 bits, palettes and every orientation: over HTTP what the predictor says, which training used."""
    pictures = {name: raw for name, raw in script.odd_pictures() if name in RARE}
    assert set(pictures) == RARE
    caller = script.Caller(shared.port)
    for name, raw in pictures.items():
        status, body = caller.post(script.posted(raw), script.MULTIPART)
        (expected,) = colour.predict_raw([raw])
        assert status == 200, (name, body)
        confidence = json.loads(body)["probabilities"][expected.predicted]
        assert confidence == pytest.approx(float(expected.outputs.max()), abs=1e-4)
    caller.close()


def test_a_bad_neighbour_costs_nobody_an_answer(shared: Shared, script: Any, good: Any) -> None:
    """A hundred good ones among a hundred bad ones, in the same batches: a hundred right answers."""
    bad = [script.Request("bad", script.posted(good[0][:700])) for _ in range(100)]
    tally = script.send_all(shared.port, bad, good, num_threads=16, good_every=1)
    assert tally.failures == []
    assert tally.num_right == 100
    assert tally.statuses == {422: 100}


def talk(port: int, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """Sends the pieces and reads until the server ends the connection."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause_s)
            while data := connection.recv(65_536):
                said += data
        except ConnectionError:
            # It ended while we were still talking; what it had said may be gone with it.
            return said
    return said


def endless(*first: bytes, again: bytes) -> Iterator[bytes]:
    yield from first
    for _ in range(4 * MAX_OVERHEAD_BYTES // len(again)):
        yield again


HEAD = b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
ENDLESS = {
    "an address": ((b"GET /",), b"a" * 10_000),
    "one header": ((b"GET / HTTP/1.1\r\nX: ",), b"a" * 10_000),
    "headers": ((b"GET / HTTP/1.1\r\n",), b"X-A: b\r\n" * 1000),
    "trailers": ((HEAD, b"\r\n1\r\n{\r\n0\r\n"), b"X-A: b\r\n" * 1000),
    "sizes of chunks": ((HEAD, b"\r\n"), b"1;" + b"e" * 10_000 + b"\r\n{\r\n"),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_stands_beside_a_body_has_an_end(shared: Shared, kind: str) -> None:
    """Refused after half a megabyte, and the connection ends."""
    first, again = ENDLESS[kind]
    said = talk(shared.port, *endless(*first, again=again))
    assert said == b"" or said.split(b" ", 2)[1] in {b"431", b"400", b"414"}, said[:300]
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=10)
    connection.request("GET", "/readyz")
    assert connection.getresponse().status == 200
    connection.close()


def test_what_is_no_http_is_a_400_in_the_shape_of_every_refusal(shared: Shared) -> None:
    """So is a request to become something else than HTTP."""
    said = talk(shared.port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello over TLS\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"malformed_request"' in said
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    said = talk(shared.port, b"GET /ui HTTP/1.1\r\nHost: here\r\nConnection: close\r\n" + upgrade + b"\r\n")
    assert said.split(b" ", 2)[1] in {b"404", b"400"}


def test_pipelined_requests_are_all_answered(shared: Shared) -> None:
    """Thousands at once are no head that does not end."""
    request = b"GET /healthz HTTP/1.1\r\nHost: here\r\nX-Padding: " + b"p" * 400 + b"\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    received: list[bytes] = []
    thread = threading.Thread(target=lambda: received.append(talk(shared.port, request * 2000 + last)))
    thread.start()
    thread.join(60)
    assert received[0].count(b"HTTP/1.1 200 OK") == 2001


def test_a_client_that_leaves_in_the_middle_is_no_defect(shared: Shared) -> None:
    """It is counted as a bad request, and no traceback is written."""
    series = 'loopline_requests_total{method="POST",route="/predict",status="400"}'
    before = metric(shared.port, series)
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\nhalf")
        time.sleep(0.3)
    deadline_s = time.monotonic() + 20
    while metric(shared.port, series) == before:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert "Traceback" not in shared.errors.read_text()


def metric(port: int, series: str) -> float:
    """The value of a series, 0 where it is not there yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{series} ")), 0.0)
