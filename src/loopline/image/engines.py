"""The engines that build images: a closed table, tried in its order; each is a program of the same few words."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from loopline.core.errors import StateError, UnknownName


@dataclass(frozen=True)
class Engine:
    """A program that builds images: its words for that, and what tells whether it works here."""

    name: str
    build: tuple[str, ...]
    probe: tuple[str, ...]
    # What prints an image's bytes on disk; the image's name is appended. Empty where it cannot say.
    size: tuple[str, ...] = ()

    def is_usable(self) -> bool:
        """True where the program is installed and, where it is a client, its daemon answers."""
        if shutil.which(self.name) is None:
            return False
        return _run((self.name, *self.probe)).returncode == 0

    def image_bytes(self, tag: str) -> int | None:
        """The image's uncompressed size, or None where the engine does not say."""
        if not self.size:
            return None
        done = _run((self.name, *self.size, tag))
        return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdecimal() else None


# Docker's format, because the other one has no health check.
ENGINES = {
    "docker": Engine(
        "docker",
        ("build",),
        ("version", "--format", "{{.Server.Version}}"),
        ("image", "inspect", "--format", "{{.Size}}"),
    ),
    "podman": Engine(
        "podman", ("build", "--format", "docker"), ("info",), ("image", "inspect", "--format", "{{.Size}}")
    ),
    "buildah": Engine("buildah", ("bud", "--format", "docker", "--layers"), ("version",)),
}


def find_engine(name: str | None = None) -> Engine:
    """The engine of that name, or the first that works here; raises `StateError` where there is none."""
    if name is not None and name not in ENGINES:
        raise UnknownName("engine", name, ENGINES)
    for engine in ENGINES.values() if name is None else [ENGINES[name]]:
        if engine.is_usable():
            return engine
    wanted = "none of docker, podman and buildah" if name is None else f"no {name}"
    raise StateError(
        f"{wanted} works here, so nothing can be built.",
        next_command="loopline image serve --print, which needs none; or install one (apt-get install buildah)",
    )


def run_build(engine: Engine, arguments: Sequence[str]) -> None:
    """Builds; the engine's own lines go to the terminal. Raises `StateError` where it fails."""
    command = (engine.name, *engine.build, *arguments)
    done = subprocess.run(command, check=False)  # noqa: S603 - a program of the table, arguments of ours
    if done.returncode != 0:
        raise StateError(
            f"{engine.name} ended with exit code {done.returncode}; its own last lines above say at which step.",
            next_command=" ".join(command),
        )


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - words of the table
