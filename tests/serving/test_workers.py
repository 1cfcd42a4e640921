"""Several processes behind one address: connections are shared out, a killed worker is replaced, all end together."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from loopline.bundle import BUNDLE_FILE, bundle_digest
from loopline.core.errors import StateError
from loopline.prediction_log import open_log
from loopline.serving import workers
from loopline.serving.server import serve
from loopline.serving.settings import ServeSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="worker processes are forked on Linux only")

Server = Callable[..., AbstractContextManager[Any]]
KIND = {"Content-Type": "multipart/form-data; boundary=a-boundary"}


def children(process_id: int) -> list[int]:
    """The processes that a process has started and that run."""
    return [int(number) for number in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]


def num_connections(process_id: int, port: int) -> int:
    """How many open connections to `port` a process holds."""
    inodes = set()
    for descriptor in Path(f"/proc/{process_id}/fd").iterdir():
        target = str(descriptor.readlink())
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[9] in inodes and line[1].endswith(f":{port:04X}") and line[3] == "01" for line in lines)


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_connections_are_shared_out(server: Server, body_of: Callable[..., bytes], picture: bytes) -> None:
    """Of twelve connections each of three workers has some, every one is answered, and all end with the supervisor."""
    with server("--num-workers", "3") as process:
        three = children(process.popen.pid)
        assert len(three) == 3
        connections = [http.client.HTTPConnection("127.0.0.1", process.port, timeout=30) for _ in range(12)]
        for connection in connections:
            connection.connect()
        for connection in connections:
            connection.request("POST", "/predict", body_of(picture), KIND)
        assert [connection.getresponse().status for connection in connections] == [200] * 12
        counts = [num_connections(worker, process.port) for worker in three]
        assert sum(counts) == 12
        assert min(counts) >= 2, counts
        for connection in connections:
            connection.close()
        # A supervisor that is killed leaves nobody behind.
        process.popen.kill()
        process.popen.wait(10)
        until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in three))


def test_a_killed_worker_comes_back(server: Server, body_of: Callable[..., bytes], picture: bytes) -> None:
    """Killed under load: requests of the others are all answered, a new one answers, and the log is whole."""
    body, statuses, broken, may_end = body_of(picture), [], [], threading.Event()
    answered: list[str] = []

    def work(port: int) -> None:
        while not may_end.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                while not may_end.is_set():
                    connection.request("POST", "/predict", body, KIND)
                    response = connection.getresponse()
                    response.read()
                    statuses.append(response.status)
                    answered.append(response.headers["x-request-id"])
            except (OSError, http.client.HTTPException):
                broken.append(port)
            finally:
                connection.close()

    with server("--num-workers", "2") as process:
        threads = [threading.Thread(target=work, args=(process.port,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: len(statuses) > 100)
        first, second = children(process.popen.pid)
        num_held = num_connections(first, process.port)
        os.kill(first, signal.SIGKILL)
        until(lambda: len(children(process.popen.pid)) == 2)
        so_far = len(statuses)
        until(lambda: len(statuses) > so_far + 200)
        # It gets its share of clients that were connected before it was there.
        until(lambda: min(num_connections(worker, process.port) for worker in children(process.popen.pid)) >= 3)
        may_end.set()
        for thread in threads:
            thread.join()
        assert second in children(process.popen.pid)
        assert process.stop() == 0
    assert set(statuses) == {200}
    # Only those whose process was killed; one may have come between the count and the kill.
    assert len(broken) <= num_held + 1
    assert "was ended by SIGKILL; a new one starts" in (process.log.parent.parent / "server.err").read_text()
    connection = sqlite3.connect(process.log)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    with open_log(process.log) as log:
        # What the killed one had not committed yet is lost: the rows of a twentieth of a second.
        assert log.count() >= len(answered) - 100


def test_a_worker_that_never_answers_ends_the_server(
    server: Server, bundle_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a worker refuses with is the sentence that the command ends with."""
    changed = tmp_path / "changed"
    changed.mkdir()
    for path in bundle_folder.iterdir():
        (changed / path.name).write_bytes(path.read_bytes())
    (changed / "graph.onnx").write_bytes(b"no graph")
    with pytest.raises(AssertionError), server("--num-workers", "2", bundle=changed):
        pass
    said = (tmp_path / "server.err").read_text()
    assert "error: '" in said
    assert "was changed: it has 8 bytes" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("num_workers", ["1", "2"])
def test_a_bundle_that_is_skewed_ends_the_server(
    server: Server, bundle_folder: Path, tmp_path: Path, num_workers: str
) -> None:
    """Another preprocess than training's is no server that is never ready, but a sentence and the end."""
    changed = Path(shutil.copytree(bundle_folder, tmp_path / "changed"))
    value = json.loads((changed / BUNDLE_FILE).read_text())
    next(step for step in value["preprocess"] if step["name"] == "normalize")["params"]["mean"] = [0.51]
    value["digest"] = bundle_digest(value)
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False)
    (changed / BUNDLE_FILE).write_text(f"{text}\n")
    with pytest.raises(AssertionError), server("--num-workers", num_workers, bundle=changed):
        pass
    said = (tmp_path / "server.err").read_text()
    # Each worker proves its part.
    num_inputs = 16 // int(num_workers)
    assert f"does not reproduce its reference predictions: outputs of {num_inputs} differ by 0." in said
    assert "Traceback" not in said


def test_several_workers_need_a_process_without_threads(bundle_folder: Path, tmp_path: Path) -> None:
    may_end = threading.Event()
    thread = threading.Thread(target=may_end.wait)
    thread.start()
    try:
        with pytest.raises(StateError, match="num_workers 2 given; several processes need Linux"):
            serve(bundle_folder, ServeSettings(port=0, num_workers=2), model="m", log_path=tmp_path / "log.db")
    finally:
        may_end.set()
        thread.join()


def test_auto_says_which_engine_it_took_and_why(
    server: Server, body_of: Callable[..., bytes], picture: bytes, tmp_path: Path
) -> None:
    """The trials are told on standard error, and the server answers with the quickest."""
    with server("--engine", "auto", "--num-workers", "2") as process:
        assert process.post(body_of(picture))[0] == 200
        assert len(children(process.popen.pid)) == 2
        assert process.stop() == 0
    said = (tmp_path / "server.err").read_text()
    assert "the quickest on the reference inputs (" in said
    assert "tensorrt: " in said


@pytest.mark.parametrize(
    ("content", "cores"), [("max 100000", sys.maxsize), ("150000 100000", 2), ("50000 100000", 1), ("", sys.maxsize)]
)
def test_a_containers_quota_bounds_the_processes(tmp_path: Path, content: str, cores: int) -> None:
    """A container of one and a half cores on a large machine gets two processes."""
    (tmp_path / "cpu.max").write_text(content)
    assert workers._quota_cores(tmp_path / "cpu.max") == cores
    assert workers._quota_cores(tmp_path / "none") == sys.maxsize
    assert 1 <= workers.num_cores() <= (os.cpu_count() or 1)


def test_a_ctrl_c_that_reaches_the_workers_late_is_the_same_one(server: Server, tmp_path: Path) -> None:
    """The supervisor has told them to end already; nothing is broken off."""
    with server("--num-workers", "2") as process:
        workers = children(process.popen.pid)
        process.popen.send_signal(signal.SIGINT)
        time.sleep(0.1)
        for number in workers:
            os.kill(number, signal.SIGINT)
        assert process.popen.wait(30) == 0
    assert "Traceback" not in (tmp_path / "server.err").read_text()


# Two workers that answer; the first life of worker 1 stops to beat. Ends itself when that worker lives again.
_HANGING = """
import os, signal, sys, time
from pathlib import Path
from loopline.serving.workers import supervise

folder, supervisor = Path(sys.argv[1]), os.getpid()

def work(worker, answers):
    answers()
    lives = folder / str(worker.index)
    lives.write_text(lives.read_text() + "x" if lives.exists() else "x")
    if worker.index == 1 and lives.read_text() == "xx":
        os.kill(supervisor, signal.SIGTERM)
    worker.beat()
    while worker.index == 0 or lives.read_text() != "x":
        worker.beat()
        time.sleep(0.05)
    time.sleep(600)

supervise(work, num_workers=2, on_ready=lambda: None, on_stop=lambda: None, stop_timeout_s=1, hang_timeout_s=1.5)
"""


def test_a_worker_that_stands_still_is_replaced(tmp_path: Path) -> None:
    """It is killed and starts again; the one beside it lives on."""
    said = subprocess.run(
        [sys.executable, "-c", _HANGING, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert "worker 1 stands still for 1.5 s." in said.stderr
    assert "was ended by SIGKILL; a new one starts." in said.stderr
    assert ((tmp_path / "0").read_text(), (tmp_path / "1").read_text()) == ("x", "xx")


# Two workers share a proof, and worker 1 is late with its part; what happens goes to a file. Worker 0 ends once,
# and all end when it lives again.
_SHARING = """
import os, signal, sys, time
from pathlib import Path
from loopline.serving.workers import supervise

journal, supervisor = Path(sys.argv[1]), os.getpid()

def note(line):
    with journal.open("a") as file:
        file.write(line + "\\n")

def work(worker, answers):
    def verify(*, part=0, num_parts=1):
        time.sleep(0.5 * part)
        note(f"part {part} of {num_parts}")
    worker.share_proof(verify)
    note("answers")
    answers()
    if worker.index == 0 and journal.read_text().count("part 0") == 2:
        os.kill(supervisor, signal.SIGTERM)
    time.sleep(0.5 if worker.index == 0 else 600)
    os._exit(1)

supervise(work, num_workers=2, on_ready=lambda: None, on_stop=lambda: None, stop_timeout_s=1, hang_timeout_s=60)
"""


def test_workers_share_the_proof_and_none_answers_before_all_of_it(tmp_path: Path) -> None:
    """One that is started again proves everything by itself."""
    journal = tmp_path / "journal"
    subprocess.run([sys.executable, "-c", _SHARING, str(journal)], timeout=120, check=True, capture_output=True)
    assert journal.read_text().split("\n")[:-1] == [
        "part 0 of 2", "part 1 of 2", "answers", "answers", "part 0 of 1", "answers",
    ]  # fmt: skip
