"""The Markdown report about a project, as functions: `loopline.reporting.check("shop")`, and what else commands do.

Beside `loop`, and for the same reason: reports are filled from what the audit found, and stages never meet below here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loopline.report import Filled, ReportCheck

__all__ = ["check", "fill", "html", "new"]


def new(folder: Path | str = ".", *, title: str = "Project report", template: Path | str | None = None) -> Path:
    """Writes `reports/README.md` with questions and the audit's checklist into a project's folder; gives its path.

    `template` is another Markdown file with questions, taken as it is. Raises `StateError` where a report stands
    already, `InputError` for a title or a template that is none.
    """
    from loopline.audit import ITEMS
    from loopline.report import Box, new_report

    boxes = [Box(item.theme, item.asks) for item in ITEMS if item.wording is not None]
    given = None if template is None else Path(template)
    return new_report(Path(folder), title=title, template=given, checklist=boxes)


def check(path: Path | str = ".") -> ReportCheck:
    """Holds the answers of a report, or of the one in a project's folder, against the limits that it states.

    Raises `InputError` where there is no report; whatever its text, nothing else.
    """
    from loopline.report import check_report, open_report

    return check_report(open_report(Path(path)))


def html(path: Path | str = ".", *, output: Path | str | None = None, pdf: bool = False) -> Path:
    """Writes a report as one page, or as PDF through an installed browser; gives the file's path.

    `output` is the file (default: beside the report). Raises `InputError` where there is no report, `StateError` where
    no browser is installed to print with.
    """
    from loopline.core.store import write_text
    from loopline.report import open_report, render_report, write_pdf

    source = open_report(Path(path))
    target = source.path.with_suffix(".pdf" if pdf else ".html") if output is None else Path(output)
    page = render_report(source)
    if pdf:
        write_pdf(page, target)
    else:
        write_text(target, page)
    return target


def fill(path: Path | str = ".", *, coverage: bool = False, timeout_s: float = 1800.0) -> Filled:
    """Drafts the answers that a project's files tell and writes them, with their figures, into the report.

    With `coverage` the project's own tests are run, in its own environment and for at most `timeout_s`; without,
    nothing of the project is. Raises `InputError` where there is no report, and what `measure_coverage` raises.
    """
    from loopline.audit.project import audit_repository
    from loopline.report import fill_report, measure_coverage, open_report, write_filled
    from loopline.repository import open_repository

    source = open_report(Path(path))
    measured = measure_coverage(source.root, timeout_s=timeout_s) if coverage else None
    repository = open_repository(source.root)
    filled = fill_report(source, repository, audit=audit_repository(repository), coverage=measured)
    write_filled(filled, source)
    return filled
