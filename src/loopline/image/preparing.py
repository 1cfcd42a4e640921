"""What `loopline image` puts into a project's `.image/KIND` before a build: pins, Loopline itself, the bundle."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from loopline.core.errors import ConfigError, StateError
from loopline.core.records import ModelBundle
from loopline.core.store import replace_folder, write_bytes, write_text
from loopline.core.tables import EXTEND_VARIABLE
from loopline.image.dockerfile import Kind
from loopline.image.guard import PREPARED
from loopline.image.locks import (
    BUILDS,
    BUILDS_FILE,
    LOCK_FILE,
    checkout,
    entries,
    lock,
    loopline_requirement,
    read_pins,
)

# Which extras a server needs for what its bundle reads, beside `serve`.
_EXTRA_OF_INPUT = {"bands": "bands", "text": "text"}


def requirements_of(kind: Kind, project: Path, bundle: ModelBundle | None = None) -> list[str]:
    """What an image of the project must be able to import.

    `[tool.loopline.image]` of its `pyproject.toml` says so (`serve = ["loopline[serve]", "soundfile"]`); otherwise
    training takes the project's dependencies, and serving what the bundle's kind of input needs.
    """
    own = _image_settings(project)
    if kind in own:
        return list(own[kind])
    if kind == "train":
        dependencies: list[str] = _pyproject(project).get("project", {}).get("dependencies", [])
        return dependencies or ["loopline[train]"]
    extra = None if bundle is None else _EXTRA_OF_INPUT.get(bundle.input_kind)
    return ["loopline[serve]" if extra is None else f"loopline[serve,{extra}]"]


def extensions_of(project: Path) -> str:
    """The names that an image of the project adds to Loopline's: this process's, else `extend` of the settings."""
    return os.environ.get(EXTEND_VARIABLE) or str(_image_settings(project).get("extend", ""))


def prepare(kind: Kind, project: Path, *, platform: str, bundle: ModelBundle | None, folder: Path | None) -> Path:
    """Writes `.image/KIND` of the project anew and returns it.

    `folder` is the bundle's, copied to `model/`. Equal inputs give equal bytes, so an engine's cached layers hold.
    Raises `StateError` where a package is neither pinned nor installed, or Loopline's own wheel cannot be built.
    """
    place = project / PREPARED / kind
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[platform.rpartition("/")[2]]
    requirements = requirements_of(kind, project, bundle)
    pins = entries(lock(requirements, pins=read_pins(project / LOCK_FILE), machine=machine))
    # Without their digests, for another base takes another build.
    builds = [pins.pop(name).split()[0] for name in BUILDS if name in pins]
    with replace_folder(place) as temporary:
        write_text(temporary / LOCK_FILE, _lines(pins.values()))
        if kind == "train":
            write_text(temporary / BUILDS_FILE, _lines(builds))
        write_text(temporary / "loopline" / "requirement.txt", f"{loopline_requirement()}\n")
        if (source := checkout()) is not None:
            name, content = _wheel(source)
            write_bytes(temporary / "loopline" / name, content)
        if folder is not None:
            shutil.copytree(folder, temporary / "model")
    return place


def _lines(words: Iterable[str]) -> str:
    return "".join(f"{word}\n" for word in words)


@cache
def _wheel(source: Path) -> tuple[str, bytes]:
    """Name and bytes of the wheel of the checkout that runs here, for no index has it."""
    with tempfile.TemporaryDirectory() as built:
        command = [sys.executable, "-P", "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        done = subprocess.run(  # noqa: S603 - our own interpreter and paths
            [*command, "--wheel-dir", built, str(source)], capture_output=True, text=True, check=False
        )
        wheel = next(Path(built).glob("*.whl"), None)
        if done.returncode != 0 or wheel is None:
            raise StateError(
                f"the wheel of Loopline's checkout '{source}' cannot be built: {done.stderr.strip()[-300:]}",
                next_command=f"{sys.executable} -m pip install hatchling editables",
            )
        return wheel.name, wheel.read_bytes()


def _image_settings(project: Path) -> dict[str, Any]:
    own: dict[str, Any] = _pyproject(project).get("tool", {}).get("loopline", {}).get("image", {})
    known = ("extend", "serve", "train")
    if unknown := sorted(set(own) - set(known)):
        raise ConfigError(
            f"unknown key 'tool.loopline.image.{unknown[0]}' in pyproject.toml; known: {', '.join(known)}."
        )
    return own


def _pyproject(project: Path) -> dict[str, Any]:
    path = project / "pyproject.toml"
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"'{path}' is no TOML: {error}.") from None
