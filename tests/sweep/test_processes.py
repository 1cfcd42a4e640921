"""Trials that an earlier process of the sweep launched: found by their run, heard, stopped, never started twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from loopline.core.records import DatasetRef, Sweep, SweepSettings, Trial, utc_now
from loopline.core.workspace import Workspace
from loopline.runs import METRICS_FILE, TRIAL_VARIABLE, RunFolder, start_run, trial_run_id
from loopline.sweep import TrialProcesses
from loopline.sweep.processes import TrialProcess

DATASET = DatasetRef(name="digits", version="0" * 64)


@pytest.fixture
def sweep(computed: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """A sweep whose trial 0 this process computes, as an orphan of a killed sweep would."""
    monkeypatch.setenv(TRIAL_VARIABLE, "found/0")
    planned: Sweep = computed.plan(workspace, settings=SweepSettings(name="found"))
    return planned


@pytest.fixture
def trial(sweep: Sweep) -> Trial:
    """Trial 0 as the study knows it."""
    run_id = trial_run_id(sweep.name, 0)
    return Trial(number=0, status="running", params={"lr": "0.1"}, run_id=run_id, started_at=utc_now())


def keep(run: RunFolder, *values: float) -> None:
    """Appends epochs to a run's figures, the last line half written."""
    lines = [json.dumps({"step": step, "validation/accuracy": value}) for step, value in enumerate(values)]
    (run.path / METRICS_FILE).write_text("\n".join([*lines, '{"step": 9, "valid']), encoding="utf-8")


def test_a_trial_that_still_lives_is_waited_for(sweep: Sweep, trial: Trial, workspace: Workspace) -> None:
    """While its run is locked it runs; then it is what the run's record says. Nothing is started."""
    launch = TrialProcesses(sweep, workspace)
    with start_run(workspace, kind="train", config={"name": "x"}, dataset=DATASET) as run:
        assert (run.record.kind, run.record.parent, run.record.run_id) == ("trial", "found", "found-000")
        live = launch(trial)
        assert (live.progress().status, list(live.progress().epochs)) == ("running", [])
        keep(run, 0.5, 0.75)
        assert list(live.progress().epochs) == [0.5, 0.75]
        run.complete(metrics={})
    assert live.progress().status == launch(trial).progress().status == "completed"
    assert not (workspace.sweeps / "found" / "logs").exists()


def test_a_trial_that_still_lives_can_be_stopped(sweep: Sweep, trial: Trial, workspace: Workspace) -> None:
    """By the process id that its launch left, while its run is locked; not afterwards."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pid_file = workspace.sweeps / "found" / "logs" / "found-000.pid"
    pid_file.parent.mkdir(parents=True)
    pid_file.write_text(f"{other.pid}\n", encoding="utf-8")
    live = None
    try:
        with start_run(workspace, kind="train", config={"name": "x"}, dataset=DATASET) as run:
            live = TrialProcesses(sweep, workspace)(trial)
            run.complete(metrics={})
            live.stop()
            assert other.wait(60) < 0
        live.kill()
    finally:
        other.kill()
        other.wait()


def test_a_failed_run_is_not_started_again(sweep: Sweep, trial: Trial, workspace: Workspace) -> None:
    """Its error is the trial's."""
    with (
        pytest.raises(ValueError, match="no"),
        start_run(workspace, kind="train", config={"name": "x"}, dataset=DATASET),
    ):
        raise ValueError("no")
    progress = TrialProcesses(sweep, workspace)(trial).progress()
    assert (progress.status, progress.error) == ("failed", "ValueError: no")


def test_a_process_that_ends_without_a_word(workspace: Workspace, tmp_path: Path) -> None:
    """Killed before its run began: the last line of its log, or that there is none."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    log = tmp_path / "log.txt"
    live = TrialProcess(tmp_path / "run", "validation/accuracy", log, ended)
    assert live.progress() == ("failed", [], "no run began: its process said nothing.")
    log.write_text("error: no such file.\n  next: look\n", encoding="utf-8")
    assert live.progress().error == "no run began: no such file."
    live.stop()
