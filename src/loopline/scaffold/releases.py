"""The template as a git repository, with a tag for every version that was ever released.

To bring a project up to date, Copier needs the template as it was and as it is. Both are in the package, so nothing is
fetched: `template/` is today's, `releases.stream` (`git fast-export`) holds the earlier ones, a tag each. A project
notes the tag that it came from.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from loopline import __version__
from loopline.core.errors import StateError
from loopline.core.store import write_bytes

TEMPLATE = Path(__file__).parent / "template"
RELEASES = Path(__file__).parent / "releases.stream"
# Equal templates make equal commits, on any machine and at any time.
_WHO = {"NAME": "Loopline", "EMAIL": "template@loopline.invalid", "DATE": "2026-01-01T00:00:00Z"}


def template_repository(
    place: Path,
    *,
    parts: Mapping[str, bytes],
    template: Path = TEMPLATE,
    releases: Path = RELEASES,
    version: str = __version__,
) -> Path:
    """Writes the template's repository to a new folder `place`: all releases, and `template` tagged `version`.

    `parts` are files that other rooms bring, by their path in the template. Raises `StateError` where git is missing.
    """
    place.mkdir(parents=True)
    _git(place, "init", "--quiet", "--initial-branch=main")
    if releases.is_file():
        _git(place, "fast-import", "--quiet", given=releases.read_bytes())
        _git(place, "reset", "--quiet", "--hard", "main")
        for path in place.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(template, place, dirs_exist_ok=True)
    for name, content in parts.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    _git(place, "add", "--all", "--force")
    _git(place, "commit", "--quiet", "--allow-empty", "--message", f"The template of Loopline {version}")
    _git(place, "tag", "--force", version)
    return place


def write_release(place: Path, *, parts: Mapping[str, bytes], releases: Path = RELEASES) -> None:
    """Adds the present template to the releases, as a release of Loopline does; `place` is a new folder to work in."""
    template_repository(place, parts=parts, releases=releases)
    write_bytes(releases, _git(place, "fast-export", "--all"))


def _git(place: Path, *words: str, given: bytes | None = None) -> bytes:
    who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _WHO.items()}
    # Somebody's own settings (signing, hooks) would change what is written.
    environment = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - words of ours
            ["git", "-C", str(place), *words],  # noqa: S607 - git, wherever it is
            input=given,
            capture_output=True,
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        raise StateError("git is not installed; a project and its template need it.") from None
    if done.returncode != 0:
        raise StateError(f"git {words[0]} failed in '{place}': {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
