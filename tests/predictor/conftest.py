"""A bundle for this room's tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from loopline.testing import make_bundle


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that no test may change."""
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it for one test to break."""
    return Path(shutil.copytree(made, tmp_path / made.name))
