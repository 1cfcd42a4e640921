"""The image of the server, really built and really run: as another user than root, read-only, asked for a prediction.

With docker, podman or buildah, whichever works here; skips where none does, or where the base image is not on this
machine (docs/image.md makes one without a registry). SANDBOX_BUILD_OPTIONS are more words for the engine, as
`--volume /opt/wheels:/opt/wheels:ro`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from loopline import containers
from loopline.contract.isolation import isolation_here
from loopline.core.errors import StateError
from loopline.core.workspace import Workspace
from loopline.image import ImageOptions, unpack
from loopline.image.engines import Engine, find_engine
from loopline.testing import make_bundle

BASE = "docker.io/library/python:3.11-slim-bookworm"
TAG = "loopline-sandbox-test:latest"
MOST_BYTES = 250_000_000


@pytest.fixture
def engine() -> Engine:
    """An engine that works and has the base image."""
    try:
        found = find_engine()
    except StateError as error:
        pytest.skip(error.message)
    inspect = ["inspect", "--type", "image"] if found.name == "buildah" else ["image", "inspect"]
    if subprocess.run([found.name, *inspect, BASE], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"{found.name} has no image '{BASE}' on this machine")
    if isolation_here() != "bubblewrap":
        pytest.skip("Bubblewrap does not work here")
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)  # installs 30 packages
def test_the_image_serves(engine: Engine, project: Path, workspace: Workspace, tmp_path: Path) -> None:
    """Every step is executed; the layers on the base are small; a platform's contract holds, a prediction included."""
    bundle = make_bundle(workspace.bundles)
    # Its versions are made up; without it the image has those of this machine.
    (project / "requirements.lock").unlink()
    words = ["--pull-never"] if engine.name == "buildah" else []
    options = ImageOptions(
        tag=TAG,
        engine=engine.name,
        engine_arguments=(*words, *shlex.split(os.environ.get("SANDBOX_BUILD_OPTIONS", ""))),
    )
    built = containers.image("serve", options, model=str(bundle), project=project, workspace=workspace)
    assert built.engine == engine.name
    # The contract with the longest times: a busy machine is no fault of the image.
    run = containers.run_contract("vertex-prediction", TAG, is_image=True, workspace=workspace)
    assert {check.name: check.passed for check in run.checks} == dict.fromkeys(
        ("start", "user", "predict", "concurrency", "stop", "disk", "memory", "image"), True
    ), run.checks
    base = unpack(BASE, tmp_path / "base", engine=engine.name)
    assert run.image_bytes is not None
    assert run.image_bytes - base.num_bytes <= MOST_BYTES
