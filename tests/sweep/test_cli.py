"""`loopline sweep` and `loopline sweeps`: real runs, killed and taken up again, pruned, repeated by one command."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

import loopline
import loopline.loop
from loopline.cli.entry import cli, main
from loopline.core.records import Pruning, Sweep, SweepSettings
from loopline.core.store import is_locked, read_record
from loopline.core.workspace import Workspace
from loopline.runs import find_run, list_runs, read_run
from loopline.sweep import TrialProcesses, find_sweep, run_sweep

Overrides = tuple[str, ...]


def invoke(*arguments: str) -> Result:
    """What a command prints, and its exit code."""
    return CliRunner().invoke(cli, list(arguments), catch_exceptions=False)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The sentence that a command ends with."""
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert caught.value.code == 1
    return capsys.readouterr().err


def test_dry_run_shows_the_space_and_trains_nothing(digits: Workspace, quick: Overrides, tmp_path: Path) -> None:
    """Space, settings and the first command; also of a W&B file, whose unused keys are named."""
    without_width = [one for one in quick if not one.startswith("model.width")]
    done = invoke("sweep", *without_width, "optimizer.lr=1e-4..1e-1:log", "--space", "model.width=2,4", "--dry-run")
    assert "0.0001 to 0.1, logarithmic" in done.stdout
    assert "20 trials, 1 at a time; sampler tpe, pruner median; validation/accuracy, best at its max" in done.stdout
    assert "first: loopline train data.name=digits" in done.stdout
    file = tmp_path / "sweep.yaml"
    file.write_text("program: train.py\nmethod: grid\nparameters: {model.width: {values: [2, 4]}}\n", encoding="utf-8")
    done = invoke("sweep", *without_width, "--wandb-file", str(file), "--workers", "2", "--pruner", "asha", "--dry-run")
    assert f"program of {file} not used: every trial is `loopline train`.\n" in done.stderr
    assert "2 trials, 2 at a time; sampler grid, pruner asha" in done.stdout
    assert not digits.sweeps.exists()
    assert list_runs(digits) == []


def test_mistakes_are_said_before_a_trial_begins(
    digits: Workspace, quick: Overrides, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown keys, values that no configuration takes, a dataset that is not there: one sentence each."""
    assert "unknown key 'model.widht'. Did you mean 'model.width'?" in refusal(
        capsys, "sweep", *quick, "model.widht=2,4"
    )
    assert "optimizer.lr" in refusal(capsys, "sweep", *quick, "optimizer.lr=-1..1")
    assert "model 'vgg' does not exist; known: " in refusal(capsys, "sweep", *quick, "model=cnn,vgg")
    assert "snapshot 'dogs' does not exist; known: digits" in refusal(
        capsys, "sweep", *quick, "data.name=dogs", "optimizer.lr=0.1,0.2"
    )
    assert "no space given" in refusal(capsys, "sweep", *quick)
    assert "sweep 'none' does not exist; there is none yet." in refusal(capsys, "sweep", "--resume", "none")
    assert not digits.sweeps.exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sweep_is_killed_and_taken_up_again(digits: Workspace, quick: Overrides) -> None:
    """SIGKILL of the sweep while a trial trains: the finished trial stays, the other goes on; a command repeats it."""
    rates = "optimizer.lr=0.02,0.03"
    arguments = [*quick, "trainer.max_epochs=10", rates, "--sampler", "grid", "--pruner", "none", "--name", "killed"]
    program = [sys.executable, "-m", "loopline", "--home", str(digits.root), "sweep", *arguments]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    second = digits.runs / "killed-001"
    try:
        # Until the second trial has trained its first epochs.
        while process.poll() is None and not (second / "checkpoints" / "last.ckpt").exists():
            time.sleep(0.01)
        assert process.poll() is None, process.communicate()[1].decode()
    finally:
        process.kill()
        process.communicate()
    orphan = int((digits.sweeps / "killed" / "logs" / "killed-001.pid").read_text())
    first = read_run(digits.runs / "killed-000")
    # A trial outlives its sweep; this one is killed too, as where the machine goes down.
    os.kill(orphan, signal.SIGKILL)
    # It holds the run's lock until it is gone, which takes a busy machine a while.
    while is_locked(second / "run.lock"):
        time.sleep(0.01)
    sweep = loopline.loop.sweep(resume="killed", workspace=digits)
    assert [trial.status for trial in sweep.trials] == ["completed"] * 2
    assert find_run("killed-000", digits) == first
    resumed = find_run("killed-001", digits)
    assert (resumed.kind, resumed.parent, resumed.num_resumes) == ("trial", "killed", 1)
    assert (digits.reports / "sweep-killed" / "sweep.html").exists()
    again = loopline.train(shlex.split(sweep.command(sweep.trials[1]))[2:], workspace=digits)
    assert (again.kind, again.parent) == ("train", None)
    assert again.metrics == resumed.metrics


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_bad_trial_is_pruned_and_can_be_finished_later(digits: Workspace, quick: Overrides) -> None:
    """A learning rate that learns nothing is stopped after few epochs; its run is interrupted, not lost."""
    arguments = (*quick, "trainer.max_epochs=10", "optimizer.lr=0.02,1e-9", "--sampler", "grid", "--pruner", "asha")
    done = invoke("sweep", *arguments, "--name", "pruned")
    assert "trial 1 pruned" in done.stdout
    sweep = find_sweep("pruned", digits)
    assert [trial.status for trial in sweep.trials] == ["completed", "pruned"]
    assert len(sweep.trials[0].epochs) == 10 > len(sweep.trials[1].epochs)
    assert find_run("pruned-001", digits).status == "interrupted"
    assert f"again: {sweep.command(sweep.trials[0])}\nnext: loopline evaluate pruned-000\n" in done.stdout


def test_a_trial_that_cannot_begin_tells_why(digits: Workspace, quick: Overrides) -> None:
    """A failing process says it in its log, and the trial repeats its last sentence."""
    settings = SweepSettings(num_trials=1, name="broken", pruning=Pruning(name="none"))
    plan = loopline.loop.plan_sweep((*quick, "optimizer.lr=0.1,0.2"), settings=settings, workspace=digits)
    broken = plan.model_copy(update={"overrides": (*plan.overrides, "model.width=-1")})
    sweep = run_sweep(broken, launch=TrialProcesses(broken, digits), workspace=digits)
    assert sweep.trials[0].status == "failed"
    assert str(sweep.trials[0].error).startswith("no run began: model.width: -1 given; ")


@pytest.mark.parametrize(("num_workers", "given", "expected"), [(1, None, 4), (3, None, 1), (1, "7", 7)])
def test_workers_share_the_cores(
    computed: ModuleType,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    num_workers: int,
    given: str | None,
    expected: int,
) -> None:
    """Four cores for one worker or one for each of three; who sets the number of threads keeps it."""
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    sweep = computed.plan(workspace, settings=SweepSettings(num_workers=num_workers, name="shared"))
    trial = run_sweep(
        sweep.model_copy(update={"num_trials": 1}), launch=computed.Launches(workspace.cache), workspace=workspace
    ).trials[0]
    environment = TrialProcesses(sweep, workspace).environment(trial)
    assert (environment["OMP_NUM_THREADS"], environment["LOOPLINE_TRIAL"]) == (str(expected), "shared/0")


def test_sweeps_are_listed_and_shown(computed: ModuleType, workspace: Workspace) -> None:
    """A table of sweeps, one of trials, and records for programs; an unfinished one names the command to go on."""
    assert invoke("sweeps").stdout.endswith("next: loopline sweep recipe=fashion --space model.width=8,16,32\n")
    plan = computed.plan(workspace, settings=SweepSettings(num_trials=4, name="shown"))
    sweep = run_sweep(
        plan.model_copy(update={"num_trials": 3}), launch=computed.Launches(workspace.cache), workspace=workspace
    )
    (workspace.sweeps / "shown" / "sweep.json").write_text(
        sweep.model_copy(update={"num_trials": 4}).model_dump_json(), encoding="utf-8"
    )
    assert "3 of 4" in invoke("sweeps").stdout
    shown = invoke("sweeps", "show", "shown").stdout
    assert shown.endswith("sweep.html\nnext: loopline sweep --resume shown\n")
    assert (workspace.reports / "sweep-shown" / "sweep.html").exists()
    assert json.loads(invoke("sweeps", "--json").stdout)[0]["name"] == "shown"
    assert Sweep.model_validate_json(invoke("sweeps", "show", "--json").stdout) == find_sweep("shown", workspace)
    assert read_record(Sweep, workspace.sweeps / "shown" / "sweep.json").num_finished == 3
