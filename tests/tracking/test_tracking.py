"""Trackers hear what a run says: into a real SQLite database, into real offline files; their failure costs nothing."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from loopline.core.errors import MissingExtra, UnknownName
from loopline.core.records import DatasetRef, RunStatus
from loopline.core.tables import resolve
from loopline.core.workspace import Workspace
from loopline.runs import RunFolder, resume_run, start_run
from loopline.tracking import TRACKERS, GuardedTracker, Tracker, TrackerConfig, TrackingWarning, open_tracker
from loopline.tracking.mlflow import MlflowConfig
from loopline.tracking.nobody import NobodyConfig
from loopline.tracking.wandb import WandbConfig

DATASET = DatasetRef(name="digits", version="0" * 64)
CONFIG = {"name": "mine", "model": {"name": "cnn", "width": 32}}
_CPU_METRICS = "select key from metrics where key like 'system/%cpu%'"


def _speak(tracker: Tracker, folder: Path) -> None:
    tracker.log_metrics({"train/loss": 0.5}, 1)
    tracker.log_metrics({"train/loss": 0.25, "validation/accuracy": 0.75}, 2)
    (folder / "note.txt").write_text("hello", encoding="utf-8")
    tracker.log_artifact(folder / "note.txt")


def _rows(workspace: Workspace, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(workspace.tracking_db) as database:
        return database.execute(query).fetchall()


def test_mlflow_keeps_params_metrics_artifacts_and_load(workspace: Workspace) -> None:
    """What is logged stands in the workspace's database and artifacts; a resumed run goes on in the same MLflow run."""
    config = MlflowConfig(experiment="digits", system_metrics_s=0.05)
    with suppress(KeyboardInterrupt), start_run(workspace, kind="train", config=CONFIG, dataset=DATASET) as run:
        tracker = open_tracker(config, run, workspace)
        tracker.log_metrics({"train/loss": 0.5}, 1)
        tracker.finish("interrupted")
        raise KeyboardInterrupt
    first_id = run.record.tracker_run_id
    assert _rows(workspace, "select name, status from runs") == [(run.record.run_id, "KILLED")]
    with resume_run(run.record.run_id, workspace) as again:
        tracker = open_tracker(config, again, workspace)
        _speak(tracker, again.path)
        # A thread measures the machine beside the run; a busy machine lets it wait.
        deadline_s = time.monotonic() + 60
        while not _rows(workspace, _CPU_METRICS) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        tracker.finish("completed")
        assert (again.record.tracker, again.record.tracker_run_id) == ("mlflow", first_id)
        again.complete(metrics={})
    assert _rows(workspace, "select name, status from runs") == [(run.record.run_id, "FINISHED")]
    params = dict(_rows(workspace, "select key, value from params"))
    assert params == {"name": "mine", "model.name": "cnn", "model.width": "32"}
    metrics = _rows(
        workspace, "select distinct key, step, value from metrics where key not like 'system/%' order by 1, 2"
    )
    assert metrics == [("train/loss", 1, 0.5), ("train/loss", 2, 0.25), ("validation/accuracy", 2, 0.75)]
    assert _rows(workspace, _CPU_METRICS)
    assert dict(_rows(workspace, "select key, value from tags"))["loopline.dataset"].startswith("digits@")
    assert [path.read_text(encoding="utf-8") for path in workspace.artifacts.rglob("note.txt")] == ["hello"]


def test_mlflow_goes_where_the_environment_says(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLFLOW_TRACKING_URI wins over the workspace; its experiment is used when it is there already."""
    elsewhere = Workspace(tmp_path / "elsewhere")
    elsewhere.root.mkdir()
    monkeypatch.chdir(tmp_path)  # a local database without an artifact location of ours keeps artifacts here
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere.tracking_uri)
    for _ in range(2):
        with start_run(workspace, kind="train", config=CONFIG, dataset=DATASET) as run:
            open_tracker(MlflowConfig(system_metrics_s=0), run, workspace).finish("failed")
            run.complete(metrics={})
    assert not workspace.tracking_db.exists()
    assert [status for (status,) in _rows(elsewhere, "select status from runs")] == ["FAILED", "FAILED"]


_WANDB = """
import json, sys
from pathlib import Path
from loopline.core.records import DatasetRef
from loopline.core.workspace import Workspace
from loopline.runs import start_run
from loopline.tracking import open_tracker
from loopline.tracking.wandb import WandbConfig
workspace = Workspace(Path(sys.argv[1]))
config = {"name": "mine", "model": {"width": 32}}
with start_run(workspace, kind="train", config=config, dataset=DatasetRef(name="digits", version="0" * 64)) as run:
    tracker = open_tracker(WandbConfig(project="digits"), run, workspace)
    tracker.log_metrics({"train/loss": 0.5}, 1)
    (run.path / "note.txt").write_text("hello", encoding="utf-8")
    tracker.log_artifact(run.path / "note.txt")
    tracker.finish("completed")
    run.complete(metrics={})
"""


def test_wandb_writes_offline_files_without_a_key(workspace: Workspace) -> None:
    """No key, no network: the run, its figures and its file lie in the run's folder, for `wandb sync`.

    In a process of its own, for wandb leaves a service behind in the one that used it.
    """
    subprocess.run([sys.executable, "-c", _WANDB, str(workspace.root)], check=True)
    (log,) = workspace.runs.glob("*/wandb/offline-run-*/*.wandb")
    content = log.read_bytes()
    assert b"train/loss" in content
    assert b"model.width" in content
    assert [path.read_text(encoding="utf-8") for path in workspace.runs.glob("*/wandb/offline-run-*/files/note.txt")]


@pytest.mark.parametrize(
    ("environment", "mode"), [({}, "offline"), ({"WANDB_API_KEY": "k"}, "online"), ({"WANDB_MODE": "disabled"}, None)]
)
def test_wandb_is_online_only_with_a_key(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], mode: str | None
) -> None:
    """A key in the environment goes online; WANDB_MODE decides for itself. The network's edge is replaced here."""
    import wandb

    given: dict[str, Any] = {}
    monkeypatch.setattr(wandb, "init", lambda **options: given.update(options))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with start_run(workspace, kind="train", config=CONFIG, dataset=DATASET) as run:
        WandbConfig().open(run, workspace)
        run.complete(metrics={})
    assert (given["mode"], given["resume"]) == (mode, None if mode == "offline" else "allow")
    assert given["id"] == run.record.run_id


def test_nobody_hears_nothing(workspace: Workspace) -> None:
    """`none` takes every call and leaves no file."""
    with start_run(workspace, kind="train", config=CONFIG, dataset=DATASET) as run:
        tracker = open_tracker(NobodyConfig(), run, workspace)
        _speak(tracker, run.path)
        tracker.finish("completed")
        done = run.complete(metrics={})
    assert (done.tracker, done.tracker_run_id) == ("none", None)
    assert not workspace.tracking_db.exists()


class _Broken:
    """A tracker whose server went away."""

    calls: ClassVar[list[str]] = []

    def log_params(self, params: Mapping[str, Any]) -> None:
        self.calls.append("params")

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.calls.append("metrics")
        raise ConnectionError("server went away\nand more lines")

    def log_artifact(self, path: Path) -> None:
        self.calls.append("artifact")

    def finish(self, status: RunStatus) -> None:
        self.calls.append("finish")


def test_a_tracker_that_fails_is_left_alone_after_one_warning() -> None:
    """The first error becomes a warning of one line; nothing is asked of it again."""
    broken = _Broken()
    tracker = GuardedTracker("mlflow", broken)
    tracker.log_params({})
    with pytest.warns(TrackingWarning, match=r"mlflow stopped: ConnectionError: server went away\. The run goes on"):
        tracker.log_metrics({}, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracker.log_metrics({}, 2)
        tracker.finish("completed")
    assert broken.calls == ["params", "metrics"]


class _Unreachable(TrackerConfig):
    name: str = "unreachable"

    def open(self, run: RunFolder, workspace: Workspace) -> tuple[Tracker, str | None]:
        raise ConnectionError("nobody there")


class _Missing(TrackerConfig):
    name: str = "missing"

    def open(self, run: RunFolder, workspace: Workspace) -> tuple[Tracker, str | None]:
        raise MissingExtra("wandb", "wandb")


def test_a_tracker_that_cannot_be_opened(workspace: Workspace) -> None:
    """A server that is away is a warning, a package that is missing an error: that the user can mend now."""
    with start_run(workspace, kind="train", config=CONFIG, dataset=DATASET) as run:
        with pytest.warns(TrackingWarning, match="unreachable stopped: ConnectionError: nobody there"):
            tracker = open_tracker(_Unreachable(), run, workspace)
        _speak(tracker, run.path)
        with pytest.raises(MissingExtra):
            open_tracker(_Missing(), run, workspace)
        run.complete(metrics={})
    assert run.record.tracker == "none"


def test_the_table_is_closed() -> None:
    """Every name builds its configuration with defaults; an unknown one lists them."""
    for name in TRACKERS:
        assert resolve(TRACKERS, name, kind="tracker")().name == name
    with pytest.raises(UnknownName, match="known: mlflow, none, wandb"):
        resolve(TRACKERS, "mlfow", kind="tracker")
