"""What the tests of sweeps share: trials that compute a small function, and a snapshot to train real ones on."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

import loopline.data
from loopline.core.workspace import Workspace


@pytest.fixture(scope="session")
def computed() -> ModuleType:
    """The module `computed.py`, which is a program too."""
    spec = importlib.util.spec_from_file_location("computed", Path(__file__).parent / "computed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def _digits_workspace(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("sweep") / "workspace")
    loopline.data.snapshot(digits_folder, name="digits", workspace=workspace)
    return workspace


@pytest.fixture
def digits(workspace: Workspace, _digits_workspace: Workspace) -> Workspace:
    """A fresh workspace that holds the snapshot `digits`."""
    shutil.copytree(_digits_workspace.root, workspace.root)
    return workspace


@pytest.fixture
def quick() -> tuple[str, ...]:
    """Overrides of a run of a second, two epochs of five batches."""
    return (
        "data.name=digits",
        "input.height=16",
        "input.width=16",
        "input.mode=L",
        "data.batch_size=64",
        "model.width=2",
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
        "trainer.log_every_n_steps=1",
        "monitor.patience=null",
        "tracking=none",
    )
