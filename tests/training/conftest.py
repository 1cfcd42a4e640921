"""A snapshot of real digits, and the overrides of a run on it that takes a second."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import loopline.data
from loopline.core.workspace import Workspace

_QUICK = (
    "data.name=digits",
    "input.height=16",
    "input.width=16",
    "input.mode=L",
    "data.batch_size=64",
    "data.augment.shift_px=1",
    "model.width=4",
    "model.dropout=0.2",
    "optimizer.lr=0.02",
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=1",
    "checkpoint.every_n_steps=2",
    "monitor.patience=null",
    "tracking=none",
)


@pytest.fixture(scope="session")
def _digits_workspace(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("training") / "workspace")
    loopline.data.snapshot(digits_folder, name="digits", workspace=workspace)
    return workspace


@pytest.fixture
def digits(workspace: Workspace, _digits_workspace: Workspace) -> Workspace:
    """A fresh workspace that holds the snapshot `digits`: about 320 training examples, five batches of 64."""
    shutil.copytree(_digits_workspace.root, workspace.root)
    return workspace


@pytest.fixture
def quick() -> tuple[str, ...]:
    """Overrides of a run of a second with all that makes resuming hard: shuffle, augmentation, dropout, epochs."""
    return _QUICK
