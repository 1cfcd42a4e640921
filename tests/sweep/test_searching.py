"""A sweep from its plan to its end, with trials that compute a small function: workers, kills, resuming, refusals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from loopline.core.errors import ConfigError, MissingExtra, StateError, UnknownName
from loopline.core.records import Pruning, Sweep, SweepSettings, Trial
from loopline.core.store import lock
from loopline.core.workspace import Workspace
from loopline.sweep import Objective, continued, find_sweep, first_trial, list_sweeps, plan_sweep, run_sweep
from loopline.sweep.study import TrialStudy

NO_PRUNING = Pruning(name="none")
SPACES = ("lr=1e-4..1:log", "width=1..8", "kind=a,b")


def search(computed: ModuleType, workspace: Workspace, *space: str, **settings: Any) -> tuple[Sweep, Any]:
    """A finished sweep of computed trials, and what launched them."""
    launches = computed.Launches(workspace.cache)
    planned = computed.plan(workspace, *space, settings=SweepSettings.model_validate(settings))
    return run_sweep(planned, launch=launches, workspace=workspace, poll_s=0), launches


def learning_rates(sweep: Sweep) -> list[float]:
    """What was sampled, in order."""
    return [float(trial.params["lr"]) for trial in sweep.trials]


def test_every_trial_is_computed_once_and_the_best_is_found(computed: ModuleType, workspace: Workspace) -> None:
    """The record on disk is what is returned; without another word there are twenty trials."""
    sweep, launches = search(computed, workspace, pruning=NO_PRUNING, num_trials=4)
    assert launches.numbers == list(range(4))
    assert {trial.status for trial in sweep.trials} == {"completed"}
    assert all(len(trial.epochs) == computed.NUM_EPOCHS for trial in sweep.trials)
    assert sweep.best == max(sweep.trials, key=lambda trial: trial.value or 0)
    assert find_sweep(sweep.name, workspace) == find_sweep("latest", workspace) == sweep
    assert computed.plan(workspace).num_trials == 20
    assert sweep.name.startswith("computed-")


def test_the_direction_decides_what_is_best(computed: ModuleType, workspace: Workspace) -> None:
    """Of a metric that is better at its minimum, the least value of the epochs and of the trials counts."""

    def describe(overrides: Sequence[str]) -> Objective:
        return Objective("computed", "validation/loss", "min", 4)

    settings = SweepSettings(num_trials=5, pruning=NO_PRUNING)
    planned = plan_sweep((), ("lr=1e-4..1:log",), settings, describe=describe, workspace=workspace)
    sweep = run_sweep(planned, launch=computed.Launches(workspace.cache), workspace=workspace, poll_s=0)
    assert [trial.value for trial in sweep.trials] == [trial.epochs[0] for trial in sweep.trials]
    assert sweep.best is not None
    assert sweep.best.value == min(trial.value or 0 for trial in sweep.trials)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_are_trials_at_a_time(computed: ModuleType, workspace: Workspace, num_workers: int) -> None:
    """As many trials live at once as there are workers."""
    sweep, launches = search(computed, workspace, num_workers=num_workers, num_trials=5, pruning=NO_PRUNING)
    assert launches.most_at_a_time == num_workers
    assert sweep.num_finished == 5


def test_failed_trials_tell_why_and_the_sweep_goes_on(computed: ModuleType, workspace: Workspace) -> None:
    """One that fails is a failed trial with its reason; where the first three fail, the sweep says so and ends."""
    sweep, _ = search(computed, workspace, "lr=0.1,-0.1,0.01", sampler="grid")
    assert [trial.status for trial in sweep.trials] == ["completed", "failed", "completed"]
    assert sweep.trials[1].error == "learning rate -0.1 given; expected one above 0."
    expected = "3 trials of sweep 'hopeless' failed and none has a result; the last: learning rate -3 given"
    with pytest.raises(StateError, match=expected) as caught:
        search(computed, workspace, "lr=-1,-2,-3,-4", sampler="grid", name="hopeless")
    assert caught.value.next_command == "loopline train lr=-3"
    assert find_sweep("hopeless", workspace).num_finished == 3


def test_an_interrupted_sweep_goes_on_where_it_was(computed: ModuleType, workspace: Workspace) -> None:
    """Ctrl-C stops the trials, which save themselves; resumed, they go on, and what had finished stays as it was."""
    planned = computed.plan(workspace, settings=SweepSettings(num_trials=6, num_workers=2, pruning=NO_PRUNING))
    launches = computed.Launches(workspace.cache)

    def launch(trial: Trial) -> Any:
        if trial.number == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return launches(trial)

    with pytest.raises(KeyboardInterrupt):
        run_sweep(planned, launch=launch, workspace=workspace, poll_s=0)
    before = find_sweep(planned.name, workspace)
    assert [trial.status for trial in before.trials] == ["completed", "completed", "running", "running"]
    assert [len(trial.epochs) for trial in before.trials[2:]] == [1, 1]
    assert launches.trials[2].stopped
    again = computed.Launches(workspace.cache)
    after = run_sweep(
        continued(planned.name, (), SweepSettings(), workspace), launch=again, workspace=workspace, poll_s=0
    )
    assert again.numbers == [2, 3, 4, 5]
    assert after.trials[:2] == before.trials[:2]
    assert [trial.params for trial in after.trials[2:4]] == [trial.params for trial in before.trials[2:4]]
    assert {trial.status for trial in after.trials} == {"completed"}
    alone, _ = search(
        computed, Workspace(workspace.root / "alone"), num_trials=6, num_workers=2, pruning=NO_PRUNING, name="alone"
    )
    assert learning_rates(after) == learning_rates(alone)


def test_a_second_interrupt_kills(computed: ModuleType, workspace: Workspace) -> None:
    """A trial that does not end when it is asked to is killed on the second Ctrl-C."""

    class Deaf(computed.Computed):  # type: ignore[misc, name-defined]  # a class of a module that a fixture gives
        def progress(self) -> Any:
            os.kill(os.getpid(), signal.SIGINT)
            return super().progress()._replace(status="running")

        def stop(self) -> None:
            return None

    trials = []

    def launch(trial: Trial) -> Any:
        workspace.cache.mkdir(parents=True, exist_ok=True)
        trials.append(Deaf(trial, workspace.cache / f"{trial.number}.json", []))
        return trials[-1]

    with pytest.raises(KeyboardInterrupt):
        run_sweep(computed.plan(workspace), launch=launch, workspace=workspace, poll_s=0)
    assert trials[0].stopped


def test_killed_with_sigkill_no_finished_trial_runs_twice(computed: ModuleType, workspace: Workspace) -> None:
    """A process that sweeps is killed in the middle of two trials; taken up again, only those two and the rest run."""
    program = [sys.executable, str(Path(computed.__file__ or "")), str(workspace.root)]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    file = workspace.sweeps / "killed" / "sweep.json"
    try:
        while process.poll() is None:
            if file.exists() and find_sweep("killed", workspace).num_finished >= 2:
                break
            time.sleep(0.01)
        assert process.poll() is None, process.communicate()[1].decode()
    finally:
        process.kill()
        process.communicate()
    study = TrialStudy(find_sweep("killed", workspace), file.with_name("sweep.db"))
    finished = [trial.number for trial in study.trials() if trial.status == "completed"]
    launches = computed.Launches(workspace.cache)
    sweep = run_sweep(
        continued("killed", (), SweepSettings(), workspace), launch=launches, workspace=workspace, poll_s=0
    )
    assert len(finished) >= 2
    assert not set(launches.numbers) & set(finished)
    assert [trial.number for trial in sweep.trials if trial.status == "completed"] == list(range(6))
    launched = [int(line) for line in (workspace.cache / "launches.txt").read_text().split()]
    assert all(launched.count(number) == 1 for number in finished)


def test_a_trial_that_was_half_drawn_is_drawn_to_its_end(computed: ModuleType, workspace: Workspace) -> None:
    """A process killed between two parameters of a trial leaves one that keeps the first and draws the second."""
    planned = computed.plan(workspace, *SPACES, settings=SweepSettings(num_trials=2, pruning=NO_PRUNING, name="half"))
    (workspace.sweeps / "half").mkdir(parents=True)
    study = TrialStudy(planned, workspace.sweeps / "half" / "sweep.db")
    live = study._study.ask()
    kind = live.suggest_categorical("kind", ("a", "b"))
    sweep = run_sweep(planned, launch=computed.Launches(workspace.cache), workspace=workspace, poll_s=0)
    assert sweep.trials[0].params["kind"] == kind
    assert all(len(trial.params) == 3 for trial in sweep.trials)


def test_a_finished_sweep_takes_more_trials(computed: ModuleType, workspace: Workspace) -> None:
    """`--resume` with a number goes beyond the end; nothing else may change."""
    sweep, _ = search(computed, workspace, num_trials=2, pruning=NO_PRUNING, name="more", sampler="random")
    again = computed.Launches(workspace.cache)
    longer = continued("more", (), SweepSettings(num_trials=4, num_workers=2), workspace)
    done = run_sweep(longer, launch=again, workspace=workspace, poll_s=0)
    assert again.numbers == [2, 3]
    assert done.trials[:2] == sweep.trials
    expected = "sweep 'more' goes on as it began; sampler given, expected at most another number of trials or workers"
    with pytest.raises(ConfigError, match=expected):
        continued("more", (), SweepSettings(sampler="qmc"), workspace)
    with pytest.raises(ConfigError, match="overrides given"):
        continued("more", ("lr=1",), SweepSettings(), workspace)
    assert continued("more", (), SweepSettings(sampler="random"), workspace).settings.sampler == "random"


def test_one_process_drives_a_sweep(computed: ModuleType, workspace: Workspace) -> None:
    """A second one is told that the first holds it."""
    planned = computed.plan(workspace, settings=SweepSettings(name="held"))
    with (
        lock(workspace.sweeps / "held" / "sweep.lock", holder="the test"),
        pytest.raises(StateError, match="sweep 'held' is in use by another process"),
    ):
        run_sweep(planned, launch=computed.Launches(workspace.cache), workspace=workspace)


def test_what_is_wrong_is_said_before_anything_is_written(computed: ModuleType, workspace: Workspace) -> None:
    """No space, unknown names, two metrics, the wrong goal: each is refused by the plan."""
    with pytest.raises(ConfigError, match="no space given; expected a key with several values"):
        plan_sweep((), (), SweepSettings(), describe=computed.describe, workspace=workspace)
    with pytest.raises(UnknownName, match="sampler 'tpo' does not exist; known: cmaes, grid, qmc, random, tpe"):
        computed.plan(workspace, settings=SweepSettings(sampler="tpo"))
    with pytest.raises(UnknownName, match="pruner 'medium' does not exist; known: asha, hyperband, median, none"):
        computed.plan(workspace, settings=SweepSettings(pruning=Pruning(name="medium")))
    with pytest.raises(ConfigError, match="goal 'min' given; validation/accuracy is better at its max"):
        computed.plan(workspace, settings=SweepSettings(goal="min"))
    with pytest.raises(UnknownName, match="sweep 'no' does not exist"):
        continued("no", (), SweepSettings(), workspace)

    def two_metrics(overrides: Sequence[str]) -> Objective:
        return Objective("computed", f"validation/{overrides[0][-1]}", "max", 1)

    with pytest.raises(ConfigError, match=re.escape("the space changes what is measured (validation/a)")):
        plan_sweep((), ("kind=a,b",), SweepSettings(), describe=two_metrics, workspace=workspace)
    assert not workspace.root.exists()


def test_a_name_is_taken_once(computed: ModuleType, workspace: Workspace) -> None:
    """A second sweep of the same name is sent to `--resume`."""
    search(computed, workspace, num_trials=1, name="mine")
    with pytest.raises(StateError, match="sweep 'mine' exists already; expected a new name") as caught:
        computed.plan(workspace, settings=SweepSettings(name="mine"))
    assert caught.value.next_command == "loopline sweep --resume mine"


def test_a_missing_package_is_one_sentence(
    computed: ModuleType, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sampler whose package is missing names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(MissingExtra, match="this needs the package 'cmaes', which is not installed"):
        computed.plan(workspace, settings=SweepSettings(sampler="cmaes"))


def test_the_first_trial_can_be_seen_beforehand(computed: ModuleType, workspace: Workspace) -> None:
    """What `--dry-run` shows is what the sweep then begins with; nothing is kept."""
    planned = computed.plan(workspace, *SPACES, settings=SweepSettings(num_trials=1))
    shown = first_trial(planned)
    assert not workspace.root.exists()
    sweep = run_sweep(planned, launch=computed.Launches(workspace.cache), workspace=workspace, poll_s=0)
    assert sweep.trials[0].params == shown.params


def test_sweeps_are_listed_newest_first(computed: ModuleType, workspace: Workspace) -> None:
    """By the moment at which they were planned."""
    assert list_sweeps(workspace) == []
    for name in ("one", "two"):
        search(computed, workspace, num_trials=1, name=name)
    assert [sweep.name for sweep in list_sweeps(workspace)] == ["two", "one"]


def test_a_command_is_quoted_for_the_shell() -> None:
    """What a shell would read otherwise is quoted, and a folder of the user's own groups is named."""
    trial = {"number": 0, "status": "running", "params": {"a": "[1,2]"}, "run_id": "s-000"}
    sweep = Sweep.model_validate(
        {
            "name": "s",
            "overrides": ("recipe=fashion",),
            "space": {"a": {"kind": "choice", "values": ("[1,2]", "[3]")}},
            "settings": {"config_dir": "my conf"},
            "num_trials": 1,
            "metric": "validation/loss",
            "direction": "min",
            "max_epochs": 1,
            "created_at": "2026-11-21T12:00:00Z",
            "trials": ({**trial, "started_at": "2026-11-21T12:00:00Z"},),
        }
    )
    assert sweep.command(sweep.trials[0]) == "loopline train --config-dir 'my conf' recipe=fashion 'a=[1,2]'"
