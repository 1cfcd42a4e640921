"""What a load test asks, whom it refuses to ask, and what it makes of the answers; then a real one on a real server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopline.cli.entry import main
from loopline.core.errors import InputError, StateError
from loopline.core.records import LoadStep, LoadTest
from loopline.core.store import read_record
from loopline.core.workspace import Workspace
from loopline.delivery import load_test
from loopline.demo.server import RunningServer, running_server
from loopline.loadtest import LoadSettings, Slo, ask_model, parse_slo, prepare_requests, refuse_strangers, summarize
from loopline.loadtest.plan import Plan, PreparedRequest
from loopline.loadtest.running import Sample, read_plan, write_plan
from loopline.loadtest.summary import judge, knee
from loopline.testing import make_bundle, make_png

DIGEST = "b" * 64


@pytest.mark.parametrize(
    ("text", "metric", "limit"),
    [
        ("p99=200ms", "p99", 200.0),
        ("p50 = 0.1s", "p50", 100.0),
        ("max=50", "max", 50.0),
        ("errors=1%", "errors", 0.01),
        ("rate=100/s", "rate", 100.0),
    ],
)
def test_promises_are_read(text: str, metric: str, limit: float) -> None:
    """Milliseconds, seconds, shares and rates."""
    found = parse_slo(text)
    assert found.metric == metric
    assert found.limit == pytest.approx(limit)


@pytest.mark.parametrize("text", ["p98=1ms", "p99", "p99=fast", "errors=5ms", "rate=3%", ""])
def test_other_promises_are_refused(text: str) -> None:
    """With examples of those that are understood."""
    with pytest.raises(InputError, match="expected one as p99=200ms"):
        parse_slo(text)


def test_a_ramp_doubles() -> None:
    """1, 2, 4, … and last what was asked for; without a ramp there is one step."""
    assert LoadSettings(users=12, is_ramp=True, duration_s=50).steps == (1, 2, 4, 8, 12)
    assert LoadSettings(users=12, is_ramp=True, duration_s=50).step_s == 10
    assert LoadSettings(users=8, is_ramp=True).steps == (1, 2, 4, 8)
    assert LoadSettings(users=12).steps == (12,)


def test_only_this_machine_is_loaded() -> None:
    """Another machine needs a word from its owner; what is no address of a server is refused in any case."""
    assert refuse_strangers("http://127.0.0.1:8000/predict", is_own=False) == "http://127.0.0.1:8000"
    with pytest.raises(InputError, match="only servers on this one are loaded") as caught:
        refuse_strangers("http://192.0.2.7:8000", is_own=False)
    assert "--i-own-this-host" in str(caught.value)
    assert refuse_strangers("http://192.0.2.7:8000", is_own=True) == "http://192.0.2.7:8000"
    with pytest.raises(InputError, match="expected one as http://127"):
        refuse_strangers("ftp://127.0.0.1", is_own=True)
    with pytest.raises(InputError, match="cannot be found"):
        refuse_strangers("http://no-such-host.invalid", is_own=False)


def test_who_is_no_loopline_server_is_told(unused_port: int) -> None:
    """Nobody listens there."""
    with pytest.raises(StateError, match="does not answer as a Loopline server does"):
        ask_model(f"http://127.0.0.1:{unused_port}", {})


@pytest.fixture
def unused_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_files_become_requests(tmp_path: Path) -> None:
    """Pictures as multipart files, texts and values as JSON, in the order of their names."""
    (tmp_path / "b.txt").write_text("[1, 2]\n", encoding="utf-8")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.txt").write_text("[3]", encoding="utf-8")
    (tmp_path / ".hidden").write_text("x", encoding="utf-8")
    assert [json.loads(each.body) for each in prepare_requests(tmp_path, "values")] == [
        {"values": [3]},
        {"values": [1, 2]},
    ]
    assert json.loads(prepare_requests(tmp_path, "text")[1].body) == {"text": "[1, 2]"}
    picture = prepare_requests(tmp_path, "image")[0]
    assert picture.content_type.startswith("multipart/form-data; boundary=")
    assert b'name="file"; filename="example.txt"\r\n\r\n[3]\r\n--' in picture.body


def test_a_folder_without_examples_is_refused(tmp_path: Path) -> None:
    """No file at all, and a file that is no example."""
    with pytest.raises(InputError, match="holds no file"):
        prepare_requests(tmp_path, "image")
    (tmp_path / "x.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="is no example of values"):
        prepare_requests(tmp_path, "values")


def plan(steps: tuple[int, ...] = (1, 2, 4), step_s: float = 10.0) -> Plan:
    """A plan with one request of bytes that are no text."""
    request = PreparedRequest(body=b"\xff\x00", content_type="image/png")
    return Plan(url="http://127.0.0.1:1", requests=(request,), steps=steps, step_s=step_s, timeout_s=1.0)


def test_a_plan_survives_the_disk(tmp_path: Path) -> None:
    """The process that asks gets the very bytes."""
    write_plan(tmp_path / "plan.json", plan())
    assert read_plan(tmp_path / "plan.json") == plan()


def test_samples_become_steps() -> None:
    """Each sample counts in the step in which it ended; the first second of a step is the one before's."""
    samples = [
        Sample(0.5, 1000.0, ""),
        *(Sample(1.0 + 0.09 * index, 10.0, "") for index in range(90)),
        *(Sample(11.0 + 0.045 * index, 20.0, "" if index % 10 else "429") for index in range(180)),
        *(Sample(21.0 + 0.045 * index, 40.0 if index % 100 else 400.0, "") for index in range(180)),
        Sample(35.0, 5.0, ""),
    ]
    slos = (Slo(metric="p99", limit=50.0), Slo(metric="errors", limit=0.0), Slo(metric="rate", limit=100.0))
    found = summarize(samples, plan(), slos, model="tiny", bundle=DIGEST)
    first, second, third = found.steps
    assert (first.users, first.num_requests, first.p50_ms, first.max_ms) == (1, 90, 10.0, 10.0)
    assert first.rate_per_s == pytest.approx(10.0)
    assert second.errors == {"429": 18}
    assert second.rate_per_s == pytest.approx(18.0)
    assert second.error_share == pytest.approx(0.1)
    assert third.p50_ms == 40.0
    assert 40.0 < third.p99_ms <= third.max_ms == 400.0
    assert found.knee_users == 2
    assert [slo.is_kept for slo in found.slos] == [False, True, False]
    assert not found.are_slos_kept


def test_a_step_without_requests_is_told() -> None:
    """A server that hangs leaves nothing to count."""
    with pytest.raises(StateError, match="no request ended in the 10 s with 2 users"):
        summarize([Sample(5.0, 1.0, "")], plan(), (), model="tiny", bundle=DIGEST)


def step(users: int, rate_per_s: float) -> LoadStep:
    """A step of that rate."""
    return LoadStep(
        users=users, seconds=1, num_requests=1, rate_per_s=rate_per_s, p50_ms=1, p95_ms=1, p99_ms=1, max_ms=1
    )


def test_the_knee_is_where_more_users_gain_little() -> None:
    """Nine tenths of the peak are enough; a rate that falls again has its knee before."""
    assert knee([step(1, 50), step(2, 92), step(4, 100), step(8, 80)]) == 2
    assert knee([step(4, 10)]) == 4


def test_no_right_answer_keeps_no_latency() -> None:
    """A server that refuses everything is fast, and breaks its promise."""
    assert not judge(Slo(metric="p99", limit=10.0), step(1, 0.0)).is_kept


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight pictures and one file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(8):
        (folder / f"{seed}.png").write_bytes(make_png(seed=seed))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A real server of a tiny bundle."""
    place = Workspace(tmp_path_factory.mktemp("served") / "workspace")
    bundle = make_bundle(place.bundles)
    with running_server(bundle.name, place, log=place.root / "server.log") as running:
        yield running


def test_a_real_server_is_loaded(
    server: RunningServer, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps up to three users, a table, files, and the exit code of a promise that nobody keeps."""
    words = [
        "--input",
        str(pictures),
        "--users",
        "3",
        "--duration",
        "4.5",
        "--ramp",
        "--output",
        str(tmp_path / "load"),
    ]
    with pytest.raises(SystemExit) as ended:
        main(["loadtest", server.url, *words, "--slo", "errors=0%", "--slo", "p99=0ms"])
    assert ended.value.code == 3
    printed = capsys.readouterr().out
    assert "errors ≤ 0.00%: kept with 0.00%" in printed
    assert "p99 ≤ 0.0 ms: broken with" in printed
    found = read_record(LoadTest, tmp_path / "load" / "load.json")
    assert [step.users for step in found.steps] == [1, 2, 3]
    assert all(step.rate_per_s > 0 and not step.errors for step in found.steps)
    assert found.num_inputs == 8
    page = (tmp_path / "load" / "load.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 2
    assert {path.name for path in (tmp_path / "load").iterdir()} >= {"throughput.png", "latency.png"}


@pytest.mark.slow
def test_locusts_own_page_opens(server: RunningServer, pictures: Path, unused_port: int) -> None:
    """It is there on this machine's port until the command is ended."""
    words = [server.url, "--input", str(pictures), "--web", str(unused_port)]
    command = [sys.executable, "-m", "loopline", "loadtest", *words]
    with subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as ours:
        try:
            page = _page(f"http://127.0.0.1:{unused_port}/", ours)
        finally:
            # Not SIGINT, which is ignored where a shell runs the tests in the background.
            os.killpg(ours.pid, signal.SIGTERM)
    assert b"Locust" in page


def _page(url: str, process: subprocess.Popen[bytes]) -> bytes:
    """What stands there as soon as somebody listens."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own address
                return bytes(answer.read())
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the command ended with {process.returncode}")


def test_a_rate_is_offered_and_errors_are_told_apart(
    server: RunningServer, pictures: Path, tmp_path: Path, workspace: Workspace
) -> None:
    """Ten requests a second, not as many as go; one file in nine is no picture, and is refused by its status."""
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for path in pictures.iterdir():
        (mixed / path.name).write_bytes(path.read_bytes())
    (mixed / "9.png").write_bytes(b"no picture")
    found = load_test(server.url, mixed, LoadSettings(users=2, duration_s=4, rate_per_s=10.0), workspace=workspace)
    (only,) = found.steps
    assert 3 <= only.num_requests / only.seconds <= 14
    assert set(only.errors) <= {"415", "422", "400"}
    assert sum(only.errors.values()) >= 1
    assert (workspace.reports / f"load-{found.bundle[:12]}" / "load.json").exists()
