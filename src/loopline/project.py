"""Projects as plain functions: a new one from the template, and one brought up to date.

Beside `loop`, and of its layer: the template takes its Dockerfiles from `image`, its pins from what is installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from loopline.core.errors import InputError, StateError
from loopline.core.store import write_text

# What only one machine knows; git ignores it.
_LOCAL = "local.mk"
_EXTRAS_PINNED = ("dev",)


def new_project(
    folder: Path, answers: Mapping[str, str] | None = None, *, data: Path | None = None, asks: bool = False
) -> Path:
    """Writes a project of a team's own into the new folder `folder`; returns it.

    `answers` are those to the template's questions (`task`, `tracker`, `cloud`, …); what they leave open is asked on
    the terminal if `asks`, else has its default. `data`, a folder of pictures or a table, is linked as `data/raw`.
    Writes pins of what is installed here, a first commit, and which Python made it (`local.mk`, not committed). Raises
    `StateError` where the folder holds something, `InputError` for an answer or data that cannot be.
    """
    from loopline.scaffold import copy_template

    if folder.exists() and any(folder.iterdir()):
        raise StateError(f"folder '{folder}' is not empty; expected a new one.", next_command="loopline new OTHER")
    if data is not None and not data.exists():
        raise InputError(f"data '{data}' do not exist; expected a folder of pictures or a table.")
    given = {"name": folder.resolve().name, **(answers or {})}
    with tempfile.TemporaryDirectory(prefix="loopline-template-") as scratch:
        copy_template(_template(Path(scratch)), folder, given, asks=asks)
    _write_report(folder, given["name"])
    write_lock(folder)
    write_text(folder / _LOCAL, f"# Which Python `loopline new` ran in.\nPYTHON := {Path(sys.executable).as_posix()}\n")
    if data is not None:
        _link(folder, data.resolve())
    _commit(folder)
    return folder


def update_project(folder: Path, answers: Mapping[str, str] | None = None, *, asks: bool = False) -> list[str]:
    """Brings later improvements of the template into a project; returns the paths that changed.

    Edits stay: Copier applies the difference between the template then and now, and leaves conflict markers where both
    sides changed the same lines. Raises `StateError` where the project has changes to commit first.
    """
    from loopline.scaffold import update_from_template

    with tempfile.TemporaryDirectory(prefix="loopline-template-") as scratch:
        update_from_template(_template(Path(scratch)), folder, answers or {}, asks=asks)
    listed = _git(folder, "status", "--porcelain")
    return [line[3:] for line in listed.splitlines()]


def write_lock(folder: Path) -> Path:
    """Pins what the project needs and what is installed here, as `requirements.lock`; returns its path."""
    from loopline.image.locks import LOCK_FILE, checkout, lock, loopline_requirement

    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in _EXTRAS_PINNED:
        wanted += project.get("optional-dependencies", {}).get(extra, [])
    own = loopline_requirement()
    note = "# Written by `make lock` from what was installed: what the project needs, each in one version.\n"
    if checkout() is not None:
        note += "# Loopline itself came from a checkout: install its wheel, or this version of it.\n"
    path = folder / LOCK_FILE
    write_text(path, f"{note}{own}\n{lock(wanted, pins={})}")
    return path


def _template(scratch: Path) -> Path:
    from loopline.image import dockerfile
    from loopline.scaffold import template_repository

    parts = {f"project/Dockerfile.{kind}": dockerfile(kind).encode() for kind in ("train", "serve")}
    return template_repository(scratch / "template", parts=parts)


def _write_report(folder: Path, name: str) -> None:
    from loopline.audit.checklist import ITEMS
    from loopline.report import Box, new_report

    boxes = tuple(Box(theme=item.theme, asks=item.asks) for item in ITEMS if item.wording is not None)
    new_report(folder, title=f"Report of {name}", checklist=boxes)


def _link(folder: Path, data: Path) -> None:
    """A link where the Makefile looks for data; git ignores the folder."""
    place = folder / "data" / ("raw" if data.is_dir() else f"raw/table{data.suffix}")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(data, target_is_directory=data.is_dir())


def _commit(folder: Path) -> None:
    """The first commit, without which nothing can be updated; as somebody where git knows no name."""
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "add", "--all")
    known = subprocess.run(  # noqa: S603 - fixed words
        ["git", "-C", str(folder), "config", "user.email"],  # noqa: S607 - git, wherever it is
        capture_output=True,
        check=False,
    )
    who = [] if known.returncode == 0 else ["-c", "user.name=Loopline", "-c", "user.email=new@loopline.invalid"]
    _git(folder, *who, "commit", "--quiet", "--no-verify", "--message", "Begin from Loopline's template")


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(  # noqa: S603 - words of ours
        ["git", "-C", str(folder), *words],  # noqa: S607 - git, wherever it is
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StateError(f"git {words[0]} failed in '{folder}': {done.stderr.strip()}")
    return done.stdout
