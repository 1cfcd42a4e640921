"""A workspace with a bundle, and tools whose edges are recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.recorded_google import PROJECT

from loopline.core.records import CloudSettings
from loopline.core.workspace import Workspace
from loopline.testing import make_bundle


@pytest.fixture
def bundle(workspace: Workspace) -> Path:
    """A bundle in the workspace."""
    return make_bundle(workspace.bundles)


@pytest.fixture
def settings() -> CloudSettings:
    """A project, where everybody may ask, so that nobody needs a token."""
    return CloudSettings.model_validate({"project": PROJECT, "bucket": "potato-models", "service": {"public": True}})
