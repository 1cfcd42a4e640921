"""An image's root file system in a folder, with what the image says of how it is started."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopline.core.errors import StateError
from loopline.image.engines import Engine, find_engine


@dataclass(frozen=True)
class UnpackedImage:
    """A root file system: the command that the image starts, its variables, its folder, its user and its size."""

    root: Path
    command: tuple[str, ...]
    environment: Mapping[str, str]
    working_folder: str
    user: str
    num_bytes: int


def unpack(tag: str, folder: Path, *, engine: str | None = None) -> UnpackedImage:
    """Writes an image's files to a new folder; raises `StateError` where the engine has no such image."""
    found = find_engine(engine)
    config = _config(found, tag)
    folder.mkdir(parents=True)
    if found.name == "buildah":
        _copy_mounted(tag, folder)
    else:
        container = _ask([found.name, "create", tag]).strip()
        try:
            _pipe([found.name, "export", container], ["tar", "--extract", "--directory", str(folder)])
        finally:
            _ask([found.name, "rm", container])
    files = [path.lstat() for path in folder.rglob("*") if not path.is_symlink() and path.is_file()]
    return UnpackedImage(
        root=folder,
        command=(*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())),
        environment=dict(line.split("=", 1) for line in config.get("Env") or ()),
        working_folder=config.get("WorkingDir") or "/",
        user=config.get("User") or "0",
        num_bytes=sum(entry.st_size for entry in files),
    )


def _config(engine: Engine, tag: str) -> dict[str, Any]:
    """The image's configuration, as Docker spells it."""
    if engine.name == "buildah":
        config = json.loads(_ask(["buildah", "inspect", "--type", "image", tag]))["Docker"]["config"]
    else:
        config = json.loads(_ask([engine.name, "image", "inspect", "--format", "{{json .Config}}", tag]))
    return dict(config)


def _copy_mounted(tag: str, folder: Path) -> None:
    container = _ask(["buildah", "from", "--pull-never", tag]).strip()
    try:
        mounted = _ask(["buildah", "mount", container]).strip()
        _ask(["cp", "--archive", f"{mounted}/.", str(folder)])
    finally:
        _ask(["buildah", "rm", container])


def _ask(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - words of ours and a tag
    if done.returncode != 0:
        raise StateError(
            f"'{' '.join(command)}' failed: {done.stderr.strip()[-300:]}", next_command="loopline image serve MODEL"
        )
    return done.stdout


def _pipe(source: Sequence[str], sink: Sequence[str]) -> None:
    with subprocess.Popen(source, stdout=subprocess.PIPE) as first:  # noqa: S603 - words of ours
        done = subprocess.run(sink, stdin=first.stdout, check=False)  # noqa: S603 - words of ours
    if first.returncode != 0 or done.returncode != 0:
        raise StateError(f"'{' '.join(source)}' could not be unpacked.")
