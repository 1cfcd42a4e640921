"""What serving's tests share: a small real bundle, applications with real logs, and a real server in a process."""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from tests.serving.wire import Scenario, serve

from loopline.core.errors import SkewError
from loopline.prediction_log import open_log
from loopline.predictor import Answer, PredictorLike, open_predictor
from loopline.serving import ServeSettings, build_app
from loopline.serving.direct import Direct
from loopline.serving.front import Front
from loopline.serving.service import Service
from loopline.testing import make_bundle, make_png, make_value_bundle
from loopline.transforms.bands import encode_bands

SHOUTER = Path(__file__).parent / "shouter.py"
BANDS = ("green", "red", "red_edge", "nir")
BOUNDARY = "a-boundary"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of three shapes over 28×28 grey pixels; read only."""
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def value_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of rows of three numbers to a weight in kg; read only."""
    return make_value_bundle(tmp_path_factory.mktemp("value-bundles"))


@pytest.fixture(scope="session")
def band_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A confidential bundle of pictures of four bands to kg N/ha; read only."""
    return make_value_bundle(tmp_path_factory.mktemp("band-bundles"), bands=BANDS, unit="kg N/ha", is_confidential=True)


@pytest.fixture(scope="session")
def plot() -> dict[str, bytes]:
    """The four files of one plot by name, in an order of their own, and all of them in one as `plot.tif`."""
    samples_CHW = np.random.default_rng(3).integers(3_000, 30_000, size=(4, 16, 12), dtype=np.uint16)
    pairs = sorted(zip(BANDS, samples_CHW, strict=True), key=lambda pair: pair[0])
    singles = {f"plot_7_{band}.tif": encode_bands(samples_HW[np.newaxis]) for band, samples_HW in pairs}
    return {**singles, "plot.tif": encode_bands(samples_CHW)}


@pytest.fixture(scope="session")
def predictor(bundle_folder: Path) -> PredictorLike:
    return open_predictor(bundle_folder, num_threads=1)


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A PNG file that the bundle can predict."""
    return make_png(seed=77)


@dataclass
class Breakable:
    """A predictor on the public seam that a test can slow down or break on purpose."""

    inner: PredictorLike
    is_broken: bool = False
    # Cleared: the engine does not come back before it is set.
    may_go_on: threading.Event = field(default_factory=threading.Event)
    batch_sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bundle, self.folder = self.inner.bundle, self.inner.folder
        self.output_names = self.inner.output_names
        # So that servers look for themselves.
        self.is_verified = False
        self.may_go_on.set()

    def decode(self, raw: bytes) -> Any:
        return self.inner.decode(raw)

    def from_array(self, values: Any) -> Any:
        return self.inner.from_array(values)

    def join(self, files: Sequence[tuple[str, bytes]]) -> bytes:
        return self.inner.join(files)

    def predict(self, samples: Sequence[Any]) -> Sequence[Answer]:
        self.batch_sizes.append(len(samples))
        self.may_go_on.wait(30)
        if self.is_broken:
            raise RuntimeError("the graph fell over")
        return self.inner.predict(samples)

    def predict_raw(self, raws: Sequence[bytes]) -> Sequence[Answer]:
        return self.predict([self.decode(raw) for raw in raws])

    def verify(self, *, part: int = 0, num_parts: int = 1) -> None:
        if self.is_broken:
            raise SkewError("the reference inputs come out wrong.")
        self.inner.verify(part=part, num_parts=num_parts)


@pytest.fixture(scope="session")
def shouter(value_folder: Path) -> PredictorLike:
    """A translator that answers in capitals."""
    spec = importlib.util.spec_from_file_location("shouter", SHOUTER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look for the module of their class.
    sys.modules["shouter"] = module
    spec.loader.exec_module(module)
    opened: PredictorLike = module.Shouter.open(value_folder)
    return opened


@pytest.fixture
def breakable(predictor: PredictorLike) -> Iterator[Breakable]:
    made = Breakable(predictor)
    yield made
    made.may_go_on.set()


class Client:
    """Calls an application in this process, with the threads and the log that a server has."""

    def __init__(self, http: TestClient) -> None:
        self.http = http

    def predict(self, *files: bytes, path: str = "/predict", name: str = "file", **headers: str) -> Any:
        """Posts files by multipart; the response."""
        return self.http.post(path, content=multipart(*files, name=name), headers={**MULTIPART, **headers})

    def error(self, response: Any, status: int) -> dict[str, Any]:
        """The inside of an error, whose status and shape are checked."""
        assert response.status_code == status, response.text
        body = response.json()
        assert set(body) == {"error", "request_id"}
        assert set(body["error"]) == {"code", "message", "next"}
        assert body["request_id"] == response.headers["x-request-id"]
        inside: dict[str, Any] = body["error"]
        return inside

    def metric(self, name: str) -> float:
        """The value of one series, spelled as in /metrics."""
        for line in self.http.get("/metrics").text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"no series {name}")


@pytest.fixture
def serving(predictor: PredictorLike, tmp_path: Path) -> Callable[..., AbstractContextManager[Client]]:
    """`with serving(predictor, option=…) as client`: an application with a real log at `tmp_path/predictions.db`."""

    @contextmanager
    def start(given: PredictorLike | None = None, **settings: Any) -> Iterator[Client]:
        with open_log(tmp_path / "predictions.db") as log:
            app = build_app(given or predictor, ServeSettings(**settings), model="shapes@champion", log=log)
            with TestClient(app, raise_server_exceptions=False) as http:
                yield Client(http)

    return start


@pytest.fixture
def body_of() -> Callable[..., bytes]:
    """Makes multipart bodies; their content type is in `MULTIPART`."""
    return multipart


def multipart(*files: bytes, name: str = "file") -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{index}.png"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for index, content in enumerate(files)
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


@dataclass
class Process:
    """`loopline serve` in a process of its own, as a user starts it."""

    popen: subprocess.Popen[str]
    url: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").removesuffix("/ui").rpartition(":")[2])

    @property
    def peak_bytes(self) -> int:
        """The most memory that it ever held."""
        lines = Path(f"/proc/{self.popen.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    def post(self, body: Any, path: str = "/predict", **headers: str) -> tuple[int, dict[str, Any]]:
        """Posts on a connection of its own: status and JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", path, body, {**MULTIPART, **headers})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def stop(self) -> int:
        """Sends SIGTERM; the exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(60)


@pytest.fixture
def server(bundle_folder: Path, tmp_path: Path) -> Callable[..., AbstractContextManager[Process]]:
    """`with server("--option", "1") as process`: a real server on a free port; of the pictures, or of `bundle`."""

    @contextmanager
    def start(*options: str, command: str = "serve", bundle: Path | None = None) -> Iterator[Process]:
        home, model = tmp_path / "home", str(bundle or bundle_folder)
        arguments = ["--home", str(home), command, model, "--port", "0", "--num-threads", "1", *options]
        with started(["-m", "loopline", *arguments], tmp_path / "server.err", home / "predictions.db") as process:
            yield process

    return start


@pytest.fixture
def shouting_server(value_folder: Path, tmp_path: Path) -> Callable[..., AbstractContextManager[Process]]:
    """`with shouting_server() as process`: as `server`, of the translator that answers in capitals."""
    log = tmp_path / "shouter.db"
    return lambda: started([str(SHOUTER), str(value_folder), str(log)], tmp_path / "shouter.err", log)


@contextmanager
def started(program: Sequence[str], errors: Path, log: Path) -> Iterator[Process]:
    """A Python program that serves, from when it says where; killed at the end unless it was stopped."""
    with errors.open("w") as file:
        popen = subprocess.Popen([sys.executable, *program], stdout=subprocess.PIPE, stderr=file, text=True)
    try:
        assert popen.stdout is not None
        line = popen.stdout.readline()
        assert " at http://" in line, errors.read_text()
        yield Process(popen, line.rpartition(" at ")[2].strip(), log)
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait(10)
        if popen.stdout is not None:
            popen.stdout.close()


@pytest.fixture
def run(predictor: PredictorLike, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`run(scenario, predictor, option=…)` calls `scenario(server)`, a server that is talked to in bytes."""
    looked: list[bool] = []
    opened = Direct.open

    def noted(self: Direct, cycle: Any) -> Any:
        exchange = opened(self, cycle)
        looked.append(exchange is not None)
        return exchange

    monkeypatch.setattr(Direct, "open", noted)

    def start(scenario: Scenario, given: Any = None, **settings: Any) -> None:
        with open_log(tmp_path / "log.db") as log:
            front = Front(Service(given or predictor, ServeSettings(**settings), model="shapes", log=log))
            asyncio.run(serve(front, tmp_path / "log.db", scenario, looked))

    return start
