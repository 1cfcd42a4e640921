"""A real server in a process of its own: start, limits, and a shutdown that answers what it accepted."""

from __future__ import annotations

import collections
import http.client
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from loopline.cli.entry import main
from loopline.prediction_log import open_log
from loopline.serving.server import serve
from loopline.serving.settings import ServeSettings

Server = Callable[..., AbstractContextManager[Any]]


@pytest.mark.parametrize("num_workers", ["1", "2"])
def test_five_hundred_requests_at_sigterm(
    server: Server, body_of: Callable[..., bytes], picture: bytes, num_workers: str
) -> None:
    """Every request that was accepted is answered and logged; no connection breaks; the rest are refused."""
    body = body_of(picture)
    outcomes: list[str] = []
    answered: list[str] = []

    def work(process: Any) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)
        kind = {"Content-Type": "multipart/form-data; boundary=a-boundary"}
        while True:
            try:
                connection.request("POST", "/predict", body, kind)
                response = connection.getresponse()
                response.read()
            except ConnectionRefusedError:
                outcomes.append("refused")
                return
            except OSError as error:
                outcomes.append(f"broken: {error}")
                return
            outcomes.append(str(response.status))
            if response.status != http.client.OK:
                return
            answered.append(response.headers["x-request-id"])

    with server("--num-workers", num_workers) as process:
        threads = [threading.Thread(target=work, args=(process,)) for _ in range(500)]
        for thread in threads:
            thread.start()
        while len(answered) < 600:
            time.sleep(0.01)
        assert process.stop() == 0
        for thread in threads:
            thread.join()
        counts = collections.Counter(outcomes)
        with open_log(process.log) as log:
            logged = {row.request_id for row in log.read()}
    assert set(counts) <= {"200", "refused", "503"}, counts
    assert len(set(answered)) == len(answered) >= 600
    assert set(answered) <= logged


def test_hostile_bodies_cost_no_memory(server: Server, body_of: Callable[..., bytes], picture: bytes) -> None:
    """60 MB declared, 35 MB undeclared, bytes without end, and a whole picture of 12000×12000: refused within 40 MB."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell a process's peak memory")
    # Its rows would take 144 MB.
    large = black_png(12_000, 12_000)
    with server("--num-workers", "1") as process:
        assert process.post(body_of(picture))[0] == 200
        before_bytes = process.peak_bytes
        status, said = process.post(b"x" * 60_000_000)
        assert (status, said["error"]["code"]) == (413, "body_too_large")
        status, _ = process.post(iter([b"x" * 1_000_000] * 35))
        assert status == 413
        assert endless(process.port) == 413
        status, said = process.post(body_of(large))
        assert status == 422
        assert "12000×12000 pixels; expected at most 50,000,000" in said["error"]["message"]
        assert process.post(body_of(picture))[0] == 200
        assert process.peak_bytes - before_bytes < 40_000_000


def black_png(width: int, height: int) -> bytes:
    """A whole PNG file of so many grey pixels; small, for it packs well."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def endless(port: int) -> int:
    """Sends chunks until the server ends the connection; the status that it answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        head = "POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        chunk = b"40000\r\n" + b"x" * 0x40000 + b"\r\n"
        num_bytes = 0
        while num_bytes < 500_000_000:
            try:
                connection.sendall(chunk)
            except OSError:
                break
            num_bytes += len(chunk)
        assert num_bytes < 200_000_000, "the server reads for ever"
        return int(connection.recv(100).split()[1])


def test_what_does_not_come_is_a_408(server: Server) -> None:
    """A client that says nothing, stops in a header or in the body holds nothing for longer than a request may take."""
    pieces = {
        b"": b"head_too_slow",
        b"GET / HTTP/1.1\r\nHost: here\r\nX-Slow: ": b"head_too_slow",
        b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\nhalf": b"body_too_slow",
    }
    with server("--num-workers", "1", "--request-timeout-s", "0.5") as process:
        for sent, code in pieces.items():
            with socket.create_connection(("127.0.0.1", process.port), timeout=20) as connection:
                connection.sendall(sent)
                said = b""
                while piece := connection.recv(1000):
                    said += piece
            assert said.startswith(b"HTTP/1.1 408 ")
            assert b"connection: close" in said
            assert b'"code":"' + code in said
        # A connection that is used goes on.
        used = http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)
        for _ in range(3):
            used.request("GET", "/healthz")
            assert used.getresponse().read()
            time.sleep(0.3)
        used.close()


def test_it_says_where_it_listens_and_stops_well(
    server: Server, body_of: Callable[..., bytes], picture: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is on standard output, and is opened in the browser that the environment names; Ctrl-C is an end
    like SIGTERM; the access log is on standard error."""
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    with server("--open", "--access-log", command="ui") as process:
        assert process.url.endswith("/ui/")
        deadline_s = time.monotonic() + 30
        while not opened.exists():
            assert time.monotonic() < deadline_s, "no browser was opened"
            time.sleep(0.02)
        assert opened.read_text().strip() == process.url
        process.post(body_of(picture))
        process.popen.send_signal(signal.SIGINT)
        assert process.popen.wait(30) == 0
        errors = process.log.parent.parent / "server.err"
        assert '"route": "/predict", "status": 200' in errors.read_text()


def test_a_port_in_use_is_one_sentence(bundle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Said before the model is opened, with what to type next."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as caught:
            main(["serve", str(bundle_folder), "--port", str(port)])
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert f"error: cannot listen on 127.0.0.1:{port}: Address already in use." in said
    assert "next: loopline serve MODEL --port 0" in said
    assert "Traceback" not in said


def test_an_address_that_is_not_ours_is_one_sentence(bundle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", str(bundle_folder), "--host", "no.such.host.invalid"])
    assert caught.value.code == 1
    assert "error: cannot listen on no.such.host.invalid" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="signals to a thread of this process need POSIX")
def test_serve_runs_in_this_process_and_comes_back(
    predictor: Any, tmp_path: Path, body_of: Callable[..., bytes], picture: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plain function takes an open predictor, answers, and returns on SIGTERM with the log closed."""
    said: list[tuple[int, bytes]] = []

    def ask_and_stop() -> None:
        port = wait_for_port(capsys)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        kind = {"Content-Type": "multipart/form-data; boundary=a-boundary"}
        connection.request("POST", "/predict", body_of(picture), kind)
        response = connection.getresponse()
        said.append((response.status, response.read()))
        connection.close()
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=ask_and_stop)
    thread.start()
    before = signal.getsignal(signal.SIGTERM)
    serve(predictor, ServeSettings(port=0), model="shapes", log_path=tmp_path / "log.db")
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == before
    assert said[0][0] == 200
    with open_log(tmp_path / "log.db") as log:
        assert [row.model for row in log.read()] == ["shapes"]


def wait_for_port(capsys: pytest.CaptureFixture[str]) -> int:
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        text = capsys.readouterr().out
        if " at http://" in text:
            return int(text.strip().rpartition(":")[2])
        time.sleep(0.02)
    raise AssertionError("it never said where it listens")


def test_the_application_loads_no_training_library(bundle_folder: Path, tmp_path: Path) -> None:
    """A fresh interpreter that builds the application and answers knows nothing of torch and its friends."""
    program = f"""
import sys
from pathlib import Path
from loopline.prediction_log import open_log
from loopline.predictor import open_predictor
from loopline.serving import ServeSettings, build_app
import loopline.serving.server, loopline.cli.serve
predictor = open_predictor(Path({str(bundle_folder)!r}))
with open_log(Path({str(tmp_path / "log.db")!r})) as log:
    build_app(predictor, ServeSettings(ui=True), model="m", log=log)
heavy = ("torch lightning pytorch_lightning hydra omegaconf mlflow optuna wandb pandas scipy matplotlib sklearn "
         "pyarrow datasets onnx onnxscript jinja2.ext")
print(sorted(set(heavy.split()) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
