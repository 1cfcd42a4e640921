"""Servers in processes of their own: Loopline's and the peers', which live in an environment that is made once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from load import post

HERE = Path(__file__).parent
PEERS = HERE / "peers"
START_TIMEOUT_S = 300.0
PREDICT = "/predict"


class ServerError(Exception):
    """A server does not start, or answers wrongly."""


@dataclass(frozen=True)
class Server:
    """How a server is started; `{port}` stands for its port."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    path: str = PREDICT
    # Of its bodies, see `subject.bodies_of`.
    body: str = "multipart"


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    server: Server
    port: int
    process_id: int
    # From starting the process to the first right answer.
    first_answer_s: float

    def memory_mb(self) -> tuple[float, float]:
        """Of all its processes: with shared pages counted once, and as `ps` counts them, in every process."""
        shared_once = each = 0
        for process_id in _family(self.process_id):
            lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()
            sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
            shared_once, each = shared_once + sizes["Pss"], each + sizes["Rss"]
        return shared_once / 1024, each / 1024


def loopline_server(name: str, bundle: Path, home: Path, *options: str) -> Server:
    """`loopline serve` with its defaults: one process per core, the prediction log on."""
    arguments = ("--home", str(home), "serve", str(bundle), "--port", "{port}", "--num-probabilities", "5", *options)
    return Server(name, (sys.executable, "-m", "loopline", *arguments))


def peer_servers(python: Path, contract: Path, num_workers: int) -> list[Server]:
    """Every peer in its idiomatic configuration, with one worker per core and one thread per engine."""
    environment = {"MODEL": str(contract), "WORKERS": str(num_workers), "OMP_NUM_THREADS": "1"}
    # None tells anybody that it was used.
    environment |= {"BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0", "LIT_DISABLE_ANALYTICS": "1"}

    def script(name: str, file: str, *, path: str = PREDICT, body: str = "multipart") -> Server:
        return Server(name, (str(python), str(PEERS / file), "{port}", str(num_workers)), environment, path, body)

    bento = (str(python), "-m", "bentoml", "serve", "bento:Pictures", "--port", "{port}", "--working-dir", str(PEERS))
    return [
        script("FastAPI, async", "fastapi_async.py"),
        script("FastAPI, threads", "fastapi_threads.py"),
        script("LitServe", "lit_serve.py"),
        Server("BentoML", bento, environment),
        script("MLflow", "mlflow_model.py", path="/invocations", body="json"),
        script("Ray Serve", "ray_serve.py"),
    ]


def peers_python(folder: Path) -> Path:
    """The interpreter of the peers' environment in `folder`, made with the pinned versions where it is not there."""
    python, done = folder / "bin" / "python", folder / "installed.txt"
    wanted = (PEERS / "requirements.txt").read_text()
    if not done.is_file() or done.read_text() != wanted:
        print(f"making the peers' environment in {folder} …", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        requirements = str(PEERS / "requirements.txt")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", requirements], check=True)
        done.write_text(wanted)
    return python


@contextmanager
def running(server: Server, content_type: str, body: bytes) -> Iterator[Running]:
    """Starts a server on a free port, waits for its first answer, and ends it with all that it started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed below, after it was read
    started_s = time.monotonic()
    process = subprocess.Popen(
        [part.replace("{port}", str(port)) for part in server.command],
        env={**os.environ, **server.environment},
        cwd=PEERS,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
    )
    try:
        while post(port, server.path, content_type, body) is None:
            if process.poll() is not None or time.monotonic() - started_s > START_TIMEOUT_S:
                errors.seek(0)
                raise ServerError(f"it did not start:\n{errors.read()[-2000:]}")
            time.sleep(0.005)
        yield Running(server, port, process.pid, time.monotonic() - started_s)
    finally:
        family = _family(process.pid)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        for process_id in family:
            _kill(process_id)
        process.wait()
        errors.close()


def check_answers(process: Running, content_type: str, bodies: Sequence[bytes], labels: Sequence[str]) -> None:
    """Raises `ServerError` where a server says anything but the labels to the bodies."""
    answers = [post(process.port, process.server.path, content_type, body) for body in bodies]
    said = [None if answer is None else answer["label"] for answer in answers]
    if said != list(labels):
        raise ServerError(f"it answers {said}; expected {list(labels)}")


def _family(process_id: int) -> list[int]:
    """A process and all that it started and that still run."""
    try:
        children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    except OSError:
        return []
    return [process_id, *(each for child in children for each in _family(int(child)))]


def _kill(process_id: int) -> None:
    try:
        os.kill(process_id, signal.SIGKILL)
    except ProcessLookupError:
        return
