"""The project's own report is filled and keeps its own limits."""

from __future__ import annotations

from pathlib import Path

from loopline import reporting
from loopline.audit import ITEMS, match_ticks
from loopline.repository import read_ticks

ROOT = Path(__file__).parent.parent.parent
REPORT = ROOT / "reports" / "README.md"


def test_the_own_report_keeps_its_limits() -> None:
    """Every question is answered, within its words and pictures, and nothing is a draft."""
    checked = reporting.check(ROOT)
    assert checked.file == "reports/README.md"
    assert [problem.sentence for problem in checked.all_problems] == []
    assert len(checked.answers) == 30
    assert all(answer.num_words for answer in checked.answers)


def test_the_own_checklist_is_the_audits() -> None:
    """Each box is one that the audit knows, and none is missing."""
    ticks = match_ticks(read_ticks(REPORT.read_text(encoding="utf-8")), ITEMS)
    assert set(ticks) == {item.id for item in ITEMS if item.wording is not None}


def test_every_figure_is_used() -> None:
    """A picture that no answer shows is left over; the diagram lies there as SVG, too."""
    text = REPORT.read_text(encoding="utf-8")
    names = {path.name for path in (REPORT.parent / "figures").iterdir()} - {"architecture.svg"}
    assert [name for name in sorted(names) if f"(figures/{name})" not in text] == []
