"""Git as a reader: lists, contents and history of a repository that may be hostile.

A repository's own configuration can name programs that git would start: monitors, hooks, filters, pagers, signature
checkers. Every call here switches them off, and forbids every way to another machine.
"""

from __future__ import annotations

import os
import subprocess
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_SETTINGS = {
    "core.fsmonitor": "",
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",
    "core.untrackedCache": "false",
    "log.showSignature": "false",
    "log.mailmap": "false",
    "protocol.allow": "never",
    # Whoever checked the files out may be another user, as in a container; what that could start is off.
    "safe.directory": "*",
}
_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_CONFIG_NOSYSTEM": "1",
    "LC_ALL": "C.UTF-8",
}
# Variables with which the caller's own git session would change what is read.
_INHERITED = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_NAMESPACE",
    "GIT_EXTERNAL_DIFF",
)


@dataclass(frozen=True)
class Git:
    """One repository: its git directory, and its work tree where it has one."""

    folder: Path
    work_tree: Path | None

    def output(self, *arguments: str, given: bytes = b"") -> bytes | None:
        """What a git command writes, or None where it refuses (no commit yet, an object that is not there)."""
        done = subprocess.run(  # noqa: S603 - the arguments are ours; names from the repository travel on stdin
            self._command(arguments), input=given, capture_output=True, check=False, env=_environment()
        )
        return done.stdout if done.returncode == 0 else None

    def records(self, *arguments: str) -> list[str]:
        """The NUL-separated records that a git command writes; none where it refuses."""
        return _names(self.output(*arguments) or b"")

    def lines(self, *arguments: str) -> Iterator[str]:
        """The lines that a git command writes, one by one; ends early where it refuses."""
        with subprocess.Popen(  # noqa: S603 - as above
            self._command(arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
        ) as process:
            for line in _opened(process.stdout):
                yield line.decode("utf-8", "surrogateescape").rstrip("\n")

    def sizes(self, digests: Sequence[str]) -> dict[str, int | None]:
        """The bytes of each object; None where the object is missing."""
        answer = self.output("cat-file", "--batch-check", given="".join(f"{digest}\n" for digest in digests).encode())
        rows = (line.split(" ") for line in (answer or b"").decode().splitlines())
        return {row[0]: int(row[2]) if len(row) == 3 and row[2].isdigit() else None for row in rows}

    def tracks(self, folder: Path) -> bool:
        """Whether git tracks any file in a folder of the work tree, or the folder is the whole work tree."""
        root = self.work_tree
        if root is None or folder == root:
            return root is not None
        inside = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else ""
        return bool(self.output("ls-files", "-z", "--", f":(top,literal){inside}"))

    def differs_from_head(self) -> bool:
        """Whether the index or the work tree differs from the newest commit; filters of the repository do not run."""
        names = _names(
            self.output("config", "-z", "--name-only", "--get-regexp", r"^filter\..*\.(clean|process)$") or b""
        )
        plain = [part for name in names for part in ("-c", f"{name}=")]
        required = [part for name in names for part in ("-c", f"{name.rpartition('.')[0]}.required=false")]
        staged = self.output("diff-index", "--cached", "--name-only", "-z", "HEAD", "--")
        modified = self.output(*plain, *required, "ls-files", "-z", "--modified", "--deleted")
        return bool(staged or modified)

    def _command(self, arguments: Iterable[str]) -> list[str]:
        settings = [part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")]
        tree = [] if self.work_tree is None else [f"--work-tree={self.work_tree}"]
        return ["git", "--no-pager", *settings, f"--git-dir={self.folder}", *tree, *arguments]


class Objects:
    """Contents by digest, from one `git cat-file --batch` that lives as long as this does."""

    def __init__(self, git: Git) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - as in `Git`
            git._command(["cat-file", "--batch"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        self.close = weakref.finalize(self, _end, self._process)

    def read(self, digest: str) -> bytes | None:
        """The object's bytes, or None where it is missing."""
        requests, answers = _opened(self._process.stdin), _opened(self._process.stdout)
        requests.write(f"{digest}\n".encode())
        requests.flush()
        header = answers.readline().split()
        if len(header) != 3:
            return None
        data = answers.read(int(header[2]))
        answers.read(1)
        return data


def find_git(path: Path) -> Git | None:
    """The repository whose git directory, or whose work tree, holds this folder; None where there is none."""
    if (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir():
        return Git(path, None)
    for folder in (path, *path.parents):
        if (folder / ".git").exists():
            return Git(folder / ".git", folder)
    return None


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _INHERITED} | _ENVIRONMENT


def _names(data: bytes) -> list[str]:
    return [name.decode("utf-8", "surrogateescape") for name in data.split(b"\0") if name]


def _opened(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise AssertionError("the process was started without this pipe")
    return stream


def _end(process: subprocess.Popen[bytes]) -> None:
    _opened(process.stdin).close()
    process.wait()
    _opened(process.stdout).close()
