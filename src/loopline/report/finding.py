"""Finds a project's report, wherever it was moved and whatever it was called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loopline.core.errors import InputError
from loopline.report.parse import parse_report
from loopline.report.walk import walk
from loopline.repository.text import decode

DEFAULT = "reports/README.md"
MAX_REPORT_BYTES = 8 << 20
# Fewer questions than this make no report.
_MIN_QUESTIONS = 3
_MAX_DEPTH = 4


@dataclass(frozen=True)
class ReportFile:
    """A report on the disk: its text, its path, and the project's root, beyond which nothing is read."""

    path: Path
    root: Path
    text: str

    @property
    def folder(self) -> Path:
        """The folder of the report, from which its pictures count."""
        return self.path.parent

    @property
    def name(self) -> str:
        """The path from the root, with `/`."""
        return self.path.relative_to(self.root).as_posix()


def open_report(path: Path) -> ReportFile:
    """Opens a report, or the one in a folder: `reports/README.md`, else the Markdown file with the most questions.

    Raises `InputError` where there is none, or where the file is no text.
    """
    try:
        path = _find(path.resolve()) if path.is_dir() else path.resolve()
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"file '{path}' does not exist.", next_command="loopline report new") from None
    except OSError as error:
        raise InputError(f"file '{path}' cannot be read: {error.strerror}.") from None
    text = decode(data) if len(data) <= MAX_REPORT_BYTES else None
    if text is None:
        raise InputError(f"'{path}' is no Markdown text of at most {MAX_REPORT_BYTES >> 20} MiB.")
    return ReportFile(path, _root(path), text)


def _root(path: Path) -> Path:
    """The nearest folder above with a `.git`; without one, the report's folder, or the one above `reports`."""
    for folder in path.parents:
        if (folder / ".git").exists():
            return folder
    return path.parent.parent if path.parent.name.lower() in ("report", "reports", "docs") else path.parent


def _find(folder: Path) -> Path:
    expected = folder / DEFAULT
    best, most = None, _MIN_QUESTIONS - 1
    for path in [*([expected] if expected.is_file() else []), *_markdown_files(folder)]:
        try:
            text = decode(path.read_bytes()) if path.stat().st_size <= MAX_REPORT_BYTES else None
        except OSError:  # a broken link, a file of somebody else
            continue
        num_questions = len(parse_report(text).questions) if text else 0
        if num_questions > most:
            best, most = path, num_questions
        if best == expected:
            break
    if best is None:
        raise InputError(
            f"no report in '{folder}': no Markdown file with at least {_MIN_QUESTIONS} questions.",
            next_command="loopline report new",
        )
    return best


def _markdown_files(folder: Path) -> list[Path]:
    return [path for path in walk(folder, depth=_MAX_DEPTH) if path.suffix.lower() in (".md", ".markdown")]
