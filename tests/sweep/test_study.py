"""What Optuna does for us: each sampler and pruner is observed to have taken effect, in a study that keeps nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from loopline.core.records import Pruning, Sweep, SweepSettings, Trial
from loopline.core.workspace import Workspace
from loopline.sweep.study import TrialStudy

SPACES = ("lr=1e-4..1:log", "width=1..8", "kind=a,b")
# From good to bad.
WORSE_AND_WORSE = "lr=" + ",".join(f"1e-{exponent}" for exponent in range(2, 14))


@pytest.fixture
def plan(computed: ModuleType, workspace: Workspace) -> Sweep:
    """A plan of nine trials of three keys, without pruning."""
    planned: Sweep = computed.plan(workspace, *SPACES, settings=SweepSettings(pruning=Pruning(name="none")))
    return planned


def with_settings(plan: Sweep, **settings: object) -> Sweep:
    """The plan with other settings."""
    return plan.model_copy(update={"settings": plan.settings.model_copy(update=settings)})


def searched(plan: Sweep, num_trials: int) -> tuple[Sequence[Trial], TrialStudy]:
    """So many trials, computed one after another, each ending where the study says so."""
    study = TrialStudy(plan, None)
    for number in range(num_trials):
        trial = study.ask()
        quality = 1 - abs(float(trial.params["lr"]) ** 0.1 - 0.01**0.1)
        for epoch in range(1, plan.max_epochs + 1):
            if study.report(number, [quality + step / 100 for step in range(epoch)]):
                study.prune(number)
                break
        else:
            study.complete(number)
    return study.trials(), study


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "cmaes"])
def test_samplers_repeat_and_differ(plan: Sweep, sampler: str) -> None:
    """A sampler draws the same trials of the same seed, others of another, all within the space."""
    if sampler == "cmaes":
        pytest.importorskip("cmaes")
    drawn = []
    for seed in (0, 0, 1):
        trials, _ = searched(with_settings(plan, sampler=sampler, seed=seed), 14)
        drawn.append([trial.params for trial in trials])
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({params["lr"] for params in drawn[0]}) == 14
    assert {params["kind"] for params in drawn[0]} == {"a", "b"}
    assert all(1e-4 <= float(params["lr"]) <= 1 and 1 <= int(params["width"]) <= 8 for params in drawn[0])


def test_samplers_are_what_they_are_called(plan: Sweep, computed: ModuleType, workspace: Workspace) -> None:
    """TPE and CMA-ES end up where the best trials are, random search does not; Sobol's points cover a range evenly."""
    late = {}
    for sampler in ("tpe", "cmaes", "random"):
        trials, _ = searched(with_settings(plan, sampler=sampler), 40)
        late[sampler] = sum(trial.value or 0 for trial in trials[20:])
    assert late["random"] < min(late["tpe"], late["cmaes"])
    even = computed.plan(workspace, "lr=0.1..0.9", settings=SweepSettings(sampler="qmc"))
    # The first trial tells the sampler which keys there are.
    rates = [float(trial.params["lr"]) for trial in searched(even, 9)[0][1:]]
    assert sorted(int((rate - 0.1) / 0.1) for rate in rates) == list(range(8))


def test_what_is_drawn_depends_on_no_interruption(plan: Sweep, tmp_path: Path) -> None:
    """A study that is opened anew for every trial draws what one draws that stays open."""
    at_once = [trial.params for trial in searched(plan, 5)[0]]
    for number in range(5):
        study = TrialStudy(plan, tmp_path / "sweep.db")
        assert study.ask().params == at_once[number]
        quality = 1 - abs(float(at_once[number]["lr"]) ** 0.1 - 0.01**0.1)
        study.report(number, [quality + step / 100 for step in range(plan.max_epochs)])
        study.complete(number)


def test_a_grid_is_listed_point_by_point(computed: ModuleType, workspace: Workspace) -> None:
    """Without a number of trials, every point once, in order; with one, the first so many."""
    settings = SweepSettings(sampler="grid", pruning=Pruning(name="none"))
    plan = computed.plan(workspace, "lr=0.1,0.01", "width=1..3", settings=settings)
    points = [(trial.params["lr"], trial.params["width"]) for trial in searched(plan, plan.num_trials)[0]]
    assert points == [("0.1", "1"), ("0.1", "2"), ("0.1", "3"), ("0.01", "1"), ("0.01", "2"), ("0.01", "3")]
    for number, expected in ((2, 2), (9, 6)):
        few = settings.model_copy(update={"num_trials": number})
        assert computed.plan(workspace, "lr=0.1,0.01", "width=1..3", settings=few).num_trials == expected


@pytest.mark.parametrize(("pruner", "warmup_epochs"), [("median", 1), ("median", 3), ("asha", 2), ("hyperband", 2)])
def test_pruners_end_trials_early(computed: ModuleType, workspace: Workspace, pruner: str, warmup_epochs: int) -> None:
    """Of a grid from good to bad, bad ones are stopped, none before its warm-up, and none counts as completed."""
    settings = SweepSettings(sampler="grid", pruning=Pruning(name=pruner, warmup_epochs=warmup_epochs), name="pruned")
    trials, _ = searched(computed.plan(workspace, WORSE_AND_WORSE, settings=settings), 12)
    pruned = [trial for trial in trials if trial.status == "pruned"]
    assert len(pruned) >= 3
    assert min(len(trial.epochs) for trial in pruned) == warmup_epochs
    assert trials[0].status == "completed"


def test_a_trial_that_ran_to_its_end_is_completed(computed: ModuleType, workspace: Workspace) -> None:
    """With a warm-up as long as the training nothing is pruned, however bad."""
    pruning = Pruning(name="median", warmup_epochs=computed.NUM_EPOCHS)
    settings = SweepSettings(sampler="grid", pruning=pruning, name="warm")
    trials, _ = searched(computed.plan(workspace, WORSE_AND_WORSE, settings=settings), 12)
    assert {trial.status for trial in trials} == {"completed"}


def test_halving_lets_fewer_go_on_where_its_factor_is_larger(computed: ModuleType, workspace: Workspace) -> None:
    """After the first epoch, one in two goes on, or one in six, of good and bad trials in turn."""
    grid = "lr=" + ",".join(f"1e-{exponent}" for exponent in (2, 8, 3, 9, 4, 10, 5, 11, 6, 12, 7, 13))
    num_pruned = []
    for factor in (2, 6):
        settings = SweepSettings(sampler="grid", pruning=Pruning(name="asha", factor=factor))
        plan = computed.plan(workspace, grid, "width=1,2", settings=settings)
        trials, _ = searched(plan, plan.num_trials)
        num_pruned.append(sum(len(trial.epochs) == 1 for trial in trials))
    assert num_pruned[0] < num_pruned[1]


def test_without_a_pruner_every_trial_runs_to_its_end(computed: ModuleType, workspace: Workspace) -> None:
    """`none` stops nothing."""
    settings = SweepSettings(sampler="grid", pruning=Pruning(name="none"))
    trials, _ = searched(computed.plan(workspace, WORSE_AND_WORSE, settings=settings), 12)
    assert {trial.status for trial in trials} == {"completed"}


def test_importance_says_which_key_mattered(plan: Sweep) -> None:
    """Only the learning rate changes the value; below four completed trials nothing is said."""
    _, study = searched(with_settings(plan, sampler="random"), 30)
    importance = study.importance()
    assert sum(importance.values()) == pytest.approx(1)
    assert importance["lr"] > 0.5
    assert searched(plan, 3)[1].importance() == {}
