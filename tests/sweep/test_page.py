"""The page of a sweep: one file that shows every trial, in each state in which a sweep can be."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from loopline.core.records import Pruning, Sweep, SweepSettings
from loopline.core.workspace import Workspace
from loopline.plots.trials import epochs_png, history_png, importance_png, parallel_png, slices_png
from loopline.sweep import ranked, run_sweep, short, sweep_page

SPACES = ("lr=1e-4..1:log", "width=1..8", "dropout=0.0..0.5", "kind=a,'<b>'")


@pytest.fixture
def sweep(computed: ModuleType, workspace: Workspace) -> Sweep:
    """Trials that were completed, pruned and failed, of four keys."""
    settings = SweepSettings(num_trials=10, pruning=Pruning(name="asha"), name="shown", seed=1)
    launches = computed.Launches(workspace.cache)
    planned = computed.plan(workspace, *SPACES, settings=settings)
    found: Sweep = run_sweep(planned, launch=launches, workspace=workspace, poll_s=0)
    last = found.trials[-1].model_copy(update={"status": "failed", "value": None, "error": "out of <memory>"})
    return found.model_copy(update={"trials": (*found.trials[:-1], last)})


def test_the_page_shows_every_trial(sweep: Sweep) -> None:
    """Figures, pictures, a row and a command for each trial; text is text, and nothing lies outside the file."""
    page = sweep_page(sweep)
    assert page.count('src="data:image/png;base64,') >= 4
    assert not re.search(r"<script|src=\"http|href=\"http", page)
    assert all(trial.run_id in page for trial in sweep.trials)
    # One for each trial, and the best once more at the top.
    assert page.count("loopline train ") == len(sweep.trials) + 1
    assert "out of &lt;memory&gt;" in page
    assert "<b>" not in page
    assert {trial.status for trial in sweep.trials} == {"completed", "pruned", "failed"}
    assert [trial.status for trial in ranked(sweep)][-1] == "failed"
    assert ranked(sweep)[0] == sweep.best


def test_a_page_of_a_sweep_that_has_no_result_yet(computed: ModuleType, workspace: Workspace, sweep: Sweep) -> None:
    """Before the first result the page says so; with one result, importance waits for more."""
    assert "No trial is completed yet." in sweep_page(computed.plan(workspace))
    best = sweep.best
    assert best is not None
    one = sweep.model_copy(update={"trials": (best,), "importance": {}})
    assert "Importance is measured from four completed trials on." in sweep_page(one)


@pytest.mark.parametrize("draw", [history_png, epochs_png, parallel_png, slices_png])
def test_pictures_show_the_trials(sweep: Sweep, draw: object) -> None:
    """Each is a PNG, the same for the same trials, and another one where a trial differs."""
    assert callable(draw)
    changed = sweep.trials[0].model_copy(update={"params": {**sweep.trials[0].params, "lr": "0.5"}, "epochs": (0.1,)})
    other = sweep.model_copy(
        update={"trials": (changed.model_copy(update={"value": 0.1, "status": "completed"}), *sweep.trials[1:])}
    )
    assert draw(sweep).startswith(b"\x89PNG")
    assert draw(sweep) == draw(sweep) != draw(other)


def test_importance_is_drawn_for_every_key(sweep: Sweep) -> None:
    """A bar each, the most important first."""
    shares = sweep.model_copy(update={"importance": {"lr": 0.7, "width": 0.3}})
    others = sweep.model_copy(update={"importance": {"lr": 0.3, "width": 0.7}})
    assert importance_png(shares) != importance_png(others)


@pytest.mark.parametrize(
    ("text", "shown"), [("0.012345678", "0.01235"), ("1e-05", "1e-05"), ("16", "16"), ("a.b", "a.b")]
)
def test_fractions_are_shortened(text: str, shown: str) -> None:
    """For reading only: commands keep every digit."""
    assert short(text) == shown
