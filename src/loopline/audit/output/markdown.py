"""An audit as Markdown, for a pull request's comment or a wiki."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from loopline.audit.output.rows import (
    FINDING_COLUMNS,
    ITEM_COLUMNS,
    audit_sentence,
    finding_rows,
    item_rows,
    open_findings,
    themes,
)
from loopline.core.records.audit import Audit


def audit_markdown(audit: Audit) -> str:
    """The audit as a Markdown document: a sentence, the findings, the checklist by theme."""
    return "\n".join([f"# Audit of {_cell(audit.subject)}", "", _cell(audit_sentence(audit)), *_sections(audit), ""])


def _sections(audit: Audit) -> Iterator[str]:
    if found := open_findings(audit):
        yield from ("", "## Findings", "")
        yield from _table(FINDING_COLUMNS, finding_rows(found))
    for theme, items in themes(audit).items():
        yield from ("", f"## {_cell(theme)}", "")
        yield from _table(ITEM_COLUMNS, item_rows(items))
    if audit.unreadable:
        yield from ("", "## Left out", "")
        yield from (f"* {_cell(evidence.path or '')}: {_cell(evidence.sentence)}" for evidence in audit.unreadable)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    yield from (f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _cell(text: str) -> str:
    """Text as text: a path named `<b>` or `[x](y)` shows as it is; code stays code."""
    line = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return re.sub(r"([\[\]*])", r"\\\1", line)
