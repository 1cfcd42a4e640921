"""Made-up git repositories in a temporary folder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Commit = Callable[[dict[str, str | bytes]], None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a git repository without a commit."""
    folder = tmp_path / "leaves"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


@pytest.fixture
def commit(root: Path) -> Commit:
    """Writes files and commits all there are."""

    def write_and_commit(files: dict[str, str | bytes]) -> None:
        write(root, files)
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--allow-empty", "--message", "Change")

    return write_and_commit


def write(root: Path, files: dict[str, str | bytes]) -> None:
    """Writes files below a folder."""
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())


def git(root: Path, *arguments: str) -> str:
    """What a git command prints."""
    name = ["-c", "user.name=Leaf", "-c", "user.email=leaf@example.com", "-c", "commit.gpgSign=false"]
    done = subprocess.run(["git", *name, *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout
