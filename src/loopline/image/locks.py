"""What an image installs: the project's pins of everything that a few requirements need, and nothing else.

A server needs 30 of the 200 packages that a project pins. Which, the installed packages say themselves (PEP 566
metadata), asked for the image's system instead of this machine's.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import loopline
from loopline.core.errors import StateError

LOCK_FILE = "requirements.lock"
# One version of these exists in several builds, with CUDA or without, each with other digests and other dependencies.
BUILDS_FILE = "requirements-torch.txt"
BUILDS = ("torch", "torchvision", "torchaudio")
# Installed with every virtual environment, or by Python itself.
_BROUGHT_ALONG = {"pip", "setuptools"}
_ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*)\s*(==|@)", re.MULTILINE)


def read_pins(path: Path) -> dict[str, str]:
    """Canonical name to entry of a lock file, with its digests: `numpy==2.4.6 \\\\ --hash=…`; none for no file."""
    return entries(path.read_text(encoding="utf-8")) if path.is_file() else {}


def entries(text: str) -> dict[str, str]:
    """Canonical name to entry of a lock's text."""
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    starts = [match.start() for match in _ENTRY.finditer(text)]
    found = [text[start:end].strip() for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    return {canonicalize_name(match["name"]): entry for entry in found if (match := _ENTRY.match(entry))}


def lock(requirements: Iterable[str], *, pins: Mapping[str, str], machine: str = "x86_64") -> str:
    """The text of a lock of everything that `requirements` need on Linux, Loopline itself not included.

    A package takes its entry of `pins`, else the version that is installed here. Raises `StateError` for one that
    is not installed, and where `pins` have digests but not of every package.
    """
    needed = {canonicalize_name(name) for name in closure(requirements, machine=machine)}
    names = sorted(needed - {"loopline", *_BROUGHT_ALONG})
    unpinned = [name for name in names if name not in pins]
    if unpinned and any("--hash=" in entry for entry in pins.values()):
        raise StateError(
            f"'{LOCK_FILE}' has digests, but does not pin {', '.join(unpinned[:5])}"
            f"{' and others' if len(unpinned) > 5 else ''}; pip takes all with digests or none.",
            next_command="make lock",
        )
    return "".join(f"{pins.get(name) or installed_pin(name)}\n" for name in names)


def closure(requirements: Iterable[str], *, machine: str = "x86_64") -> set[str]:
    """The names of all packages that the requirements need on Linux, by the metadata of the installed ones."""
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            waiting += _needs(*key, machine=machine)
    return {name for name, _ in seen}


def installed_pin(name: str) -> str:
    """`name==version` of what is installed, without the mark of one build of it (`+cpu`)."""
    return f"{canonicalize_name(name)}=={_installed(name).version.partition('+')[0]}"


def loopline_requirement() -> str:
    """How another machine installs the Loopline that runs here: a version, or the address it came from.

    A checkout is no address; its wheel is built and found by this version.
    """
    installed = importlib.metadata.distribution("loopline")
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    if checkout() is None and "vcs_info" in origin:
        return f"loopline @ {origin['vcs_info']['vcs']}+{origin['url']}@{origin['vcs_info']['commit_id']}"
    return f"loopline=={loopline.__version__}"


def checkout() -> Path | None:
    """The folder of the source code that runs here, where it is a checkout and not an installed package."""
    folder = Path(loopline.__file__).parents[2]
    return folder if (folder / "pyproject.toml").is_file() and (folder / "src" / "loopline").is_dir() else None


def _needs(name: str, extras: frozenset[str], *, machine: str) -> Iterator[Requirement]:
    if name == "loopline" and (source := checkout()) is not None:
        # What was installed from a checkout may be of another day.
        yield from _needs_of_checkout(source, extras)
        return
    environment = {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": machine,
    }
    for text in _installed(name).requires or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in (*extras, "")):
            yield requirement


def _needs_of_checkout(source: Path, extras: frozenset[str]) -> Iterator[Requirement]:
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in (None, *extras):
        lines = project["dependencies"] if extra is None else project["optional-dependencies"].get(extra, [])
        yield from map(Requirement, lines)


def _installed(name: str) -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise StateError(
            f"package '{name}' is needed in the image and not installed here, so what it needs is unknown.",
            next_command=f"python -m pip install {name}",
        ) from None
