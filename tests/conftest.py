"""What every room's tests share: a clean environment, an empty workspace, handwritten digits as files, a browser."""

from __future__ import annotations

import http.client
import json
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
from typing import Any

import pytest

import loopline
from loopline.core.stopping import StopRequest
from loopline.core.workspace import Workspace

# The machine's cores are shared by what the tests start; one thread each also makes sums come out in one order.
# Before any library that reads it is imported, and inherited by subprocesses.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Read when the hub's library is imported: nobody waits for a hub that is not asked.
os.environ["HF_HUB_OFFLINE"] = "1"

_SCRUBBED_PREFIXES = ("LOOPLINE_", "MLFLOW_", "WANDB_", "HYDRA_", "PL_", "HF_")
CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
# How WebDriver marks an element in its JSON.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
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
def _digits_workspace(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("digits") / "workspace")
    loopline.data.snapshot(digits_folder, name="digits", workspace=workspace)
    return workspace


@pytest.fixture
def digits(workspace: Workspace, _digits_workspace: Workspace) -> Workspace:
    """A fresh workspace that holds the snapshot `digits`: about 320 training examples, five batches of 64."""
    shutil.copytree(_digits_workspace.root, workspace.root)
    return workspace


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

        monkeypatch.setattr("loopline.training.running.stop_signals", signals)

    return set_step


class Browser:
    """A headless Chromium, driven by the W3C WebDriver protocol: JSON over HTTP."""

    def __init__(self, port: int, profile: Path) -> None:
        self._port = port
        flags = (
            "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
            " --disable-component-update --disable-sync --use-fake-device-for-media-stream"
            " --use-fake-ui-for-media-stream --window-size=1280,1000"
        )
        options = {"binary": CHROMIUM, "args": [*flags.split(), f"--user-data-dir={profile}"]}
        wanted = {
            "alwaysMatch": {
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
        }
        self._session = f"/session/{self._call('POST', '/session', capabilities=wanted)['sessionId']}"

    def _call(self, method: str, path: str, **body: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if method == "POST" else None)
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        assert not (isinstance(value, dict) and "error" in value), value
        return value

    def open(self, url: str) -> None:
        self._call("POST", f"{self._session}/url", url=url)

    def run(self, script: str) -> Any:
        return self._call("POST", f"{self._session}/execute/sync", script=f"return {script}", args=[])

    def wait(self, script: str) -> Any:
        """Until the expression is true; its value."""
        deadline_s = time.monotonic() + 15
        while not (value := self.run(script)):
            assert time.monotonic() < deadline_s, script
            time.sleep(0.05)
        return value

    def find(self, css: str) -> str:
        found = self._call("POST", f"{self._session}/element", using="css selector", value=css)
        return str(found[ELEMENT])

    def type(self, css: str, text: str) -> None:
        self._call("POST", f"{self._session}/element/{self.find(css)}/value", text=text)

    def click(self, css: str) -> None:
        self._call("POST", f"{self._session}/element/{self.find(css)}/click")

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._call("POST", f"{self._session}/goog/cdp/execute", cmd=name, params=parameters)

    def narrow(self, width_px: int) -> None:
        """Shows pages as a telephone does; a window would be at least 500 pixels wide."""
        screen = {"width": width_px, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        self.command("Emulation.setDeviceMetricsOverride", **screen)

    def answer_prompt(self, text: str) -> None:
        """Waits for a question of the page, and answers it."""
        deadline_s = time.monotonic() + 15
        while True:
            try:
                self._call("POST", f"{self._session}/alert/text", text=text)
                break
            except AssertionError:
                assert time.monotonic() < deadline_s, "the page asks nothing"
                time.sleep(0.05)
        self._call("POST", f"{self._session}/alert/accept")

    def complaints(self) -> list[str]:
        """What the browser's console holds, but for answers that are no success, which it lists as well."""
        entries = self._call("POST", f"{self._session}/se/log", type="browser")
        return [entry["message"] for entry in entries if "Failed to load resource" not in entry["message"]]

    def requested(self) -> list[str]:
        """The addresses that pages asked for since this was last called; `data:` is none."""
        entries = self._call("POST", f"{self._session}/se/log", type="performance")
        events = [json.loads(entry["message"])["message"] for entry in entries]
        sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith("data:")]

    def close(self) -> None:
        self._call("DELETE", self._session)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser of its own; without Chromium and its driver the test is skipped."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("chromium and chromedriver are not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    driver = subprocess.Popen([str(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + 15
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline_s, "chromedriver does not start"
            time.sleep(0.05)
        opened = Browser(port, tmp_path / "profile")
        yield opened
        opened.close()
    finally:
        driver.terminate()
        driver.wait(10)
