"""A registry that exists, and bundles to put into it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from loopline.core.records import PairedComparison
from loopline.core.workspace import Workspace
from loopline.registry.client import registry_client
from loopline.testing import make_bundle


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SQLite file of a new registry: MLflow takes seconds to create its tables, so the tests share one."""
    workspace = Workspace(tmp_path_factory.mktemp("empty-registry"))
    with registry_client(workspace) as client:
        client.search_registered_models()
    return workspace.tracking_db


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four bundles that differ; read only."""
    folder = tmp_path_factory.mktemp("bundles")
    return [make_bundle(folder, seed=seed, height=8, width=8) for seed in range(4)]


@pytest.fixture
def workspace(workspace: Workspace, empty_database: Path) -> Workspace:
    """A workspace with an empty registry."""
    workspace.root.mkdir()
    shutil.copyfile(empty_database, workspace.tracking_db)
    return workspace


def verdict(*, not_worse: bool) -> PairedComparison:
    """A comparison over a thousand examples that says so."""
    won, lost = (30, 10) if not_worse else (10, 60)
    difference = (won - lost) / 1000
    return PairedComparison(
        difference=difference,
        low=difference - 0.015,
        high=difference + 0.015,
        margin=0.005,
        p_worse=0.01 if not_worse else 0.99,
        num_examples=1000,
        num_won=won,
        num_lost=lost,
        not_worse=not_worse,
    )


@pytest.fixture
def better() -> PairedComparison:
    """The challenger is not worse."""
    return verdict(not_worse=True)


@pytest.fixture
def worse() -> PairedComparison:
    """The challenger is worse."""
    return verdict(not_worse=False)
