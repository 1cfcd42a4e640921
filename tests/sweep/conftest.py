"""What the tests of sweeps share: trials that compute a small function, and what makes real ones short."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


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
