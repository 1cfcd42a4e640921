"""`loopline report`, as people and workflows call it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Loopline = Callable[..., Any]
TEXT = """### Question 1

> **Why, 100%?**
>
> Answer length: 3-5 words.
>
> Answer:

{}

### Question 2
> Answer:

Yes.

### Question 3
> Answer:

No.
"""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A report somewhere else than expected."""
    path = tmp_path / "docs" / "our, report.md"
    path.parent.mkdir()
    path.write_text(TEXT.format("Because."))
    return path


def test_check_finds_a_moved_report_and_exits_with_one(loopline: Loopline, report: Path, tmp_path: Path) -> None:
    """Per question limit, found, verdict and line; and the sentence for each violation."""
    code, output, _ = loopline("report", "check", tmp_path)
    assert code == 1
    assert "too few words" in output
    assert "docs/our, report.md:9: Question 1 has 1 word; expected 3-5." in output
    report.write_text(TEXT.format("Because we say so."))
    assert loopline("report", "check", report).code == 0


def test_check_speaks_json_and_annotations(loopline: Loopline, report: Path) -> None:
    """For programs and for GitHub; what separates an annotation's parts is escaped."""
    code, output, _ = loopline("report", "check", report, "--json")
    assert code == 1
    found = json.loads(output)
    assert found["passed"] is False
    assert found["answers"][0]["problems"][0]["rule"] == "too-few-words"
    code, output, _ = loopline("report", "check", report, "--github")
    assert code == 1
    assert output.splitlines() == [
        "::error file=docs/our%2C report.md,line=9,title=too few words::Question 1 has 1 word; expected 3-5."
    ]


def test_new_fill_and_html_work_together(loopline: Loopline, tmp_path: Path) -> None:
    """A report is written, filled and turned into a page beside it or elsewhere."""
    (tmp_path / "requirements.txt").write_text("torch\n")
    assert loopline("report", "new", tmp_path, "--title", "Mine").code == 0
    code, output, _ = loopline("report", "fill", tmp_path)
    assert code == 0
    assert output.startswith("drafted: 4, 5")
    page = tmp_path / "page.html"
    assert loopline("report", "html", tmp_path, "--output", page).code == 0
    assert "<h1>Mine</h1>" in page.read_text()
    assert loopline("report", "html", tmp_path).code == 0
    assert (tmp_path / "reports" / "README.html").is_file()


def test_fill_runs_the_tests_when_asked(loopline: Loopline, tmp_path: Path) -> None:
    """With `--coverage`, and only with it."""
    (tmp_path / "test_shop.py").write_text("def test_shop():\n    open('ran', 'w').close()\n")
    assert loopline("report", "new", tmp_path).code == 0
    assert loopline("report", "fill", tmp_path).code == 0
    assert not (tmp_path / "ran").exists()
    assert loopline("report", "fill", tmp_path, "--coverage").code == 0
    assert (tmp_path / "ran").exists()


def test_a_folder_without_a_report_says_what_to_do(loopline: Loopline, tmp_path: Path) -> None:
    """The next command stands in the sentence."""
    code, _, error = loopline("report", "check", tmp_path)
    assert code == 1
    assert "no report in" in error
    assert "next: loopline report new" in " ".join(error.split())
