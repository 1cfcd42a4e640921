"""What every room's tests share: a clean environment, an empty workspace, real handwritten digits as files."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loopline.core.stopping import StopRequest
from loopline.core.workspace import Workspace

# The machine's cores are shared by what the tests start; one thread each also makes sums come out in one order.
# Before any library that reads it is imported, and inherited by subprocesses.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Read when the hub's library is imported: nobody waits for a hub that is not asked.
os.environ["HF_HUB_OFFLINE"] = "1"

_SCRUBBED_PREFIXES = ("LOOPLINE_", "MLFLOW_", "WANDB_", "HYDRA_", "PL_", "HF_")
NUM_DIGITS = 400
SIZE_PX = 16


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results do not depend on the machine's variables, and nothing a test starts calls home."""
    for name in list(os.environ):
        if name.startswith(_SCRUBBED_PREFIXES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    # Tables keep their lines whole, and bars stay silent.
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace; code that is given none finds the same one, for LOOPLINE_HOME names it too."""
    return Workspace(tmp_path / "workspace")


@pytest.fixture(autouse=True)
def _default_workspace(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPLINE_HOME", str(workspace.root))


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class, `zero` to `nine`, with 400 real handwritten digits as grey 16×16 PNG files; read only."""
    from PIL import Image
    from sklearn.datasets import load_digits

    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    folder = tmp_path_factory.mktemp("digits") / "digits"
    digits = load_digits()
    for name in names:
        (folder / name).mkdir(parents=True)
    for index in range(NUM_DIGITS):
        # 8×8 pixels of 0 to 16, as scikit-learn keeps them.
        small_HW = (digits.images[index] * (255 / 16)).round().astype("uint8")
        image = Image.fromarray(small_HW).resize((SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR)
        image.save(folder / names[digits.target[index]] / f"{index:04d}.png")
    return folder


class Postgres:
    """A real PostgreSQL server on a port of its own, that a test may stop and start."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self._programs = programs
        # It refuses to run as root.
        self._user = "postgres" if os.name == "posix" and os.geteuid() == 0 else None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        if self._user:
            shutil.chown(folder, self._user)
        options = ["-U", "loopline", "-A", "trust", "--no-sync", "-E", "UTF8"]
        self._run(programs / "initdb", "-D", folder / "data", *options)

    def url(self, database: str) -> str:
        """The address of a database, which is made where it is missing."""
        connect = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "loopline"]
        subprocess.run([self._programs / "createdb", *connect, database], capture_output=True, check=False)
        return f"postgresql://loopline@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        place = ["-D", str(self.folder / "data"), "-k", str(self.folder), "-p", str(self.port), "-c", "fsync=off"]
        self._process = subprocess.Popen(
            [str(self._programs / "postgres"), *place],
            user=self._user,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        deadline_s = time.monotonic() + 30
        while subprocess.run(ready, check=False).returncode != 0:
            assert time.monotonic() < deadline_s, "PostgreSQL does not start"
            time.sleep(0.05)

    def stop(self) -> None:
        """At once; open connections break."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def _run(self, *command: str | Path) -> None:
        subprocess.run(command, user=self._user, check=True, capture_output=True, cwd=self.folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server that runs; a test that stops it starts it again."""
    programs = [Path("/usr/lib/postgresql"), *Path("/usr/lib/postgresql").glob("*/bin")][-1]
    found = shutil.which("initdb", path=f"{programs}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip("there is no PostgreSQL server; apt-get install postgresql")
    # Not below pytest's own folder, which another user may not enter.
    with tempfile.TemporaryDirectory(prefix="loopline-postgres-") as folder:
        server = Postgres(Path(folder), Path(found).resolve().parent)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


class _StopAt(StopRequest):
    """A request that comes when it was asked for the n-th time: in step n."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step
        self.asked = 0

    @property
    def requested(self) -> bool:
        self.asked += 1
        return self.asked >= self.step

    @requested.setter
    def requested(self, value: bool) -> None:
        assert value is False


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the next run stop as after a signal, in a step of our choice; the signals have tests of their own."""

    def set_step(step: int) -> None:
        @contextmanager
        def signals() -> Iterator[StopRequest]:
            yield _StopAt(step)

        monkeypatch.setattr("loopline.training.fitting.stop_signals", signals)

    return set_step
