"""A project's report is found wherever it lies, and what is none is refused in a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loopline.core.errors import InputError
from loopline.report import open_report
from loopline.report.finding import MAX_REPORT_BYTES

REPORT = "".join(f"### Question {number}\n> Answer:\n\nYes.\n\n" for number in range(1, 4))


def write(path: Path, text: str) -> Path:
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_expected_place_comes_first(tmp_path: Path) -> None:
    """Even where another file has more questions."""
    expected = write(tmp_path / "reports" / "README.md", REPORT)
    write(tmp_path / "docs" / "long.md", REPORT + REPORT.replace("Question ", "Question 1"))
    assert open_report(tmp_path).path == expected


def test_else_the_most_questions_win(tmp_path: Path) -> None:
    """Files that cannot be read, are too large, or lie in environments do not count."""
    write(tmp_path / "README.md", "# Shop\n")
    write(tmp_path / "a" / "short.md", REPORT)
    found = write(tmp_path / "b" / "our.markdown", REPORT + "### Question 4\n> Answer:\n\nNo.\n")
    write(tmp_path / "venv" / "theirs.md", REPORT * 3)
    (tmp_path / "binary.md").write_bytes(b"\0" * 100)
    write(tmp_path / "large.md", REPORT * (1 + MAX_REPORT_BYTES // len(REPORT)))
    (tmp_path / "broken.md").symlink_to(tmp_path / "nowhere")
    assert open_report(tmp_path).path == found


@pytest.mark.parametrize(
    ("path", "root"), [("reports/README.md", "."), ("docs/README.md", "."), ("README.md", "."), ("a/b/x.md", "a/b")]
)
def test_without_git_the_root_is_guessed(tmp_path: Path, path: str, root: str) -> None:
    """From the folder that the report lies in; with git it is the repository."""
    write(tmp_path / path, REPORT)
    assert open_report(tmp_path / path).root == tmp_path / root
    (tmp_path / ".git").mkdir()
    opened = open_report(tmp_path / path)
    assert (opened.root, opened.name) == (tmp_path, path)


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    """With what was given and what to do."""
    with pytest.raises(InputError, match=r"does not exist\. Next: loopline report new"):
        open_report(tmp_path / "gone.md")
    with pytest.raises(InputError, match="no Markdown file with at least 3 questions"):
        open_report(tmp_path)
    binary = tmp_path / "x.md"
    binary.write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match="is no Markdown text of at most 8 MiB"):
        open_report(binary)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """In a sentence."""
    path = write(tmp_path / "x.md", REPORT)
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        open_report(path)


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """As what the system says."""
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        open_report(tmp_path / ("x" * 300))
