"""What runs left in a project is read as evidence: real files of each kind, and ones that only look like them."""

from __future__ import annotations

import cProfile
import gzip
import json
import marshal
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.core.records import DriftReport
from loopline.core.store import write_record
from loopline.report.evidence import Sentence
from loopline.report.results.curves import metric_curves
from loopline.report.results.drift_reports import drift_sentences
from loopline.report.results.load_tests import load_test_sentences
from loopline.report.results.marshalled import NotPlain, read_marshalled
from loopline.report.results.profiles import profile_sentences
from loopline.report.results.wandb_files import newest_wandb_run
from loopline.report.walk import walk

# As Locust 2.47 wrote it; shortened by some columns that are not read.
LOCUST = """Type,Name,Request Count,Failure Count,Median Response Time,Requests/s,Failures/s,50%,99%,100%
GET,/health,70,0,4,23.5,0.0,4,25,25
POST,/predict,81,9,5,27.2,3.0,5,140,140
,Aggregated,151,9,4,50.79,3.0,4,100,140
"""


def files(root: Path) -> list[Path]:
    """What lies in a project."""
    return list(walk(root, depth=7))


def only(sentences: list[Sentence]) -> Sentence:
    """The one sentence that there is."""
    (sentence,) = sentences
    return sentence


# In a process of its own, for wandb leaves a service behind in the one that used it. The summary's text is longer than
# a block of the log, so that it is written in pieces.
WANDB = """
import sys
import numpy as np
import wandb
run = wandb.init(
    project="shop",
    dir=sys.argv[1],
    mode="offline",
    config={"lr": 0.1, "model": {"width": 4}, "api_key": "x", "path": "/a/rather/long/path/of/mine"},
    settings=wandb.Settings(console="off", silent=True),
)
for step in range(3):
    run.log({"train/loss": 1 / (step + 1), "valid": {"acc": step / 4}, "bad": float("nan"), "note": "x"})
run.log({"picture": wandb.Image(np.zeros((4, 4, 3), "uint8"))})
run.summary["text"] = "x" * 70_000
run.summary["best"] = 0.5
run.finish()
"""


@pytest.fixture
def wandb_folder(tmp_path: Path) -> Path:
    """A project with a real offline run of W&B: nested metrics, a picture, a value that is no number."""
    subprocess.run([sys.executable, "-c", WANDB, str(tmp_path)], check=True)
    return tmp_path


def test_an_offline_run_of_wandb_becomes_curves(wandb_folder: Path) -> None:
    """Metrics with their steps, last values and settings, but no settings with a secret's name."""
    sentences, pictures = metric_curves(wandb_folder, files(wandb_folder))
    texts = [sentence.text for sentence in sentences]
    (log,) = wandb_folder.glob("wandb/offline-run-*/*.wandb")
    name = log.stem.removeprefix("run-")
    assert texts == [
        f"The newest run with curves, `{name}`, tracked 2 metrics: train/loss and valid.acc.",
        f"Run `{name}` ended with `best` 0.5, `train/loss` 0.3333 and `valid.acc` 0.5.",
        "It was configured with `lr` 0.1 and `model.width` 4.",
    ]
    assert {sentence.sources for sentence in sentences} == {(log.relative_to(wandb_folder).as_posix(),)}
    assert [picture.name for picture in pictures] == ["metrics-loss", "metrics-acc"]
    assert all(data.startswith(b"\x89PNG") for picture in pictures for _, data in picture.files)
    run = newest_wandb_run(wandb_folder, files(wandb_folder))
    assert run is not None
    assert run.curves["valid.acc"] == ([0.0, 1.0, 2.0], [0.0, 0.25, 0.5])
    whole = log.read_bytes()
    # A killed process, a bad disk: what stands before the damage is read.
    for data in (whole[: len(whole) // 20], whole[:300] + b"?" + whole[301:], b"", b":W&B", b"\0" * 40_000):
        log.write_bytes(data)
        metric_curves(wandb_folder, files(wandb_folder))


def test_without_a_log_the_texts_are_read(tmp_path: Path) -> None:
    """The newest run counts, by the time in its folder's name; there are values, but no curves."""
    for name, loss in (("run-20240101_000000-older", 0.9), ("run-20240102_000000-newer", 0.25)):
        folder = tmp_path / "outputs" / "wandb" / name / "files"
        folder.mkdir(parents=True)
        (folder / "wandb-summary.json").write_text(json.dumps({"loss": loss, "_step": 3, "best": True, "m": None}))
        (folder / "config.yaml").write_text("_wandb: {value: 1}\nlr:\n  desc: null\n  value: 0.1\nbroken: 3\n")
    sentences, pictures = metric_curves(tmp_path, files(tmp_path))
    assert [sentence.text for sentence in sentences] == [
        "Run `newer` ended with `loss` 0.25.",
        "It was configured with `lr` 0.1.",
    ]
    assert pictures == []
    (folder / "wandb-summary.json").write_text("[")
    assert "older" in metric_curves(tmp_path, files(tmp_path))[0][0].text


def test_runs_of_our_own_become_curves(tmp_path: Path) -> None:
    """A workspace in the project, read as `loopline runs` reads it; a line cut off in the middle is left out."""
    record = json.loads((Path(__file__).parent.parent / "frozen" / "records" / "run.v1.json").read_text())
    folder = tmp_path / "workspace" / "runs" / record["run_id"]
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record))
    rows = [{"step": step, "train/loss": 1 / (step + 1), "validation/loss": 0.5} for step in range(3)]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + '\n{"step": 3, "tr')
    sentences, pictures = metric_curves(tmp_path, files(tmp_path))
    assert f"`{record['run_id']}`, tracked 2 metrics: train/loss and validation/loss." in sentences[0].text
    assert [picture.name for picture in pictures] == ["metrics-loss"]
    (folder / "run.json").write_text("{}")
    assert metric_curves(tmp_path, files(tmp_path)) == ([], [])


def busy() -> int:
    """Something to profile."""
    return sum(len(str(value)) for value in range(2_000))


def test_a_dump_of_cprofile_is_read(tmp_path: Path) -> None:
    """Seconds, calls and where the time went, as pstats counts them."""
    profile = cProfile.Profile()
    profile.runcall(busy)
    profile.dump_stats(tmp_path / "train.prof")
    text, sources = only(profile_sentences(tmp_path, files(tmp_path))), ("train.prof",)
    assert text.sources == sources
    assert text.text.startswith("A profile by cProfile covers ")
    assert "test_results.py:" in text.text
    assert "genexpr` (" in text.text


@pytest.mark.parametrize(
    "content", [b"", b"{", b"text", marshal.dumps({1: 2}), marshal.dumps({("a", 1, "b"): (1, 1, 0.0, 0.0, {})})]
)
def test_what_is_no_dump_says_nothing(tmp_path: Path, content: bytes) -> None:
    """Not every `.prof` is of cProfile."""
    (tmp_path / "x.prof").write_bytes(content)
    assert profile_sentences(tmp_path, files(tmp_path)) == []


PLAIN = st.recursive(
    st.one_of(
        st.integers(-(2**100), 2**100), st.floats(allow_nan=False), st.text(max_size=9), st.booleans(), st.none()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple), st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(PLAIN, st.integers(2, 4))
def test_the_reader_agrees_with_marshal(value: Any, version: int) -> None:
    """Every plain value comes back, whatever the version of the format; or is refused for its depth."""
    try:
        assert read_marshalled(marshal.dumps(value, version)) == value
    except NotPlain as refusal:
        assert "too deeply" in str(refusal)  # noqa: PT017 - most values are not refused


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.binary(max_size=40) | st.sampled_from([b"c", b"\xfb", b"(\xff\xff\xff\x7f", b"r\0\0\0\0", b"l\xff\0\0\0"]))
def test_no_bytes_harm_the_reader(data: bytes) -> None:
    """What is malformed, or code, is refused."""
    try:
        read_marshalled(data)
    except NotPlain:
        return


def event(name: str, begin: float, end: float, category: str = "cpu_op") -> dict[str, object]:
    """One event of a trace, in microseconds."""
    return {"ph": "X", "cat": category, "name": name, "pid": 1, "tid": 1, "ts": begin, "dur": end - begin}


@pytest.mark.parametrize("name", ["x.pt.trace.json", "trace.json", "profile/trace_1.json.gz"])
def test_a_trace_of_pytorch_counts_time_once(tmp_path: Path, name: str) -> None:
    """An operator's own time is without that of the operators that it calls."""
    events = [
        event("aten::conv2d", 0, 100),
        event("aten::convolution", 10, 90),
        event("aten::relu", 100, 120),
        event("sgemm", 0, 50, "kernel"),
        {"ph": "M"},
        "x",
    ]
    data = json.dumps({"traceEvents": events}).encode()
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert only(profile_sentences(tmp_path, files(tmp_path))).text == (
        "A trace of PyTorch's profiler has 3 operators in 0.00012 s; most time of their own took"
        " `aten::convolution` (67%), `aten::conv2d` (17%), `aten::relu` (17%), and on the GPU `sgemm` (100%)."
    )
    path.write_bytes(b'{"traceEvents": 3}')
    assert profile_sentences(tmp_path, files(tmp_path)) == []


def test_a_load_test_by_locust_is_read(tmp_path: Path) -> None:
    """The newest first; other tables, and tests without an answer, say nothing."""
    (tmp_path / "load").mkdir()
    path = tmp_path / "load" / "run_stats.csv"
    path.write_text(LOCUST)
    found = only(load_test_sentences(tmp_path, files(tmp_path)))
    assert found.sources == ("load/run_stats.csv",)
    assert found.text == (
        "A load test by Locust sent 151 requests to `/health`, `/predict`, 50.8 a second; 9 (6%) failed. Half were"
        " answered within 4 ms, 99% within 100 ms."
    )
    (tmp_path / "other_stats.csv").write_text("Name,Count\nx,1\n")
    (tmp_path / "none_stats.csv").write_text(LOCUST.replace("4,100,140\n", "N/A,N/A,N/A\n"))
    (tmp_path / "broken_stats.csv").write_text(LOCUST + '"' + "x" * 200_000)
    newer = tmp_path / "newer_stats.csv"
    newer.write_text(LOCUST.replace(",Aggregated,151", ",Aggregated,200"))
    os.utime(path, (1, 1))
    texts = [sentence.text for sentence in load_test_sentences(tmp_path, files(tmp_path))]
    assert "200 requests" in texts[0]
    assert "151 requests" in texts[-1]


def test_drift_reports_are_read(tmp_path: Path) -> None:
    """Of Loopline's records, the newest first; somebody else's file of that name says nothing."""
    record = json.loads((Path(__file__).parent.parent / "frozen" / "records" / "drift_report.v1.json").read_text())
    report = DriftReport.model_validate(record)
    for day in (3, 7):
        stamped = report.model_copy(update={"created_at": datetime(2026, 1, day, tzinfo=UTC)})
        write_record(tmp_path / f"drift-{day}" / "drift.json", stamped)
    (tmp_path / "drift.json").write_text("{}")
    newest, older = drift_sentences(tmp_path, files(tmp_path))
    assert newest.sources == ("drift-7/drift.json",)
    assert "on 2026-01-07: " in newest.text
    assert "on 2026-01-03: " in older.text


def test_links_and_environments_are_not_walked(tmp_path: Path) -> None:
    """Neither what lies elsewhere nor what was installed is a project's result; depth ends."""
    for name in ("venv/x.prof", ".git/x.prof", "a/b/x.prof", "a/x.prof"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link.prof").symlink_to(tmp_path / "a" / "x.prof")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in walk(tmp_path, depth=1)] == ["a/x.prof"]
