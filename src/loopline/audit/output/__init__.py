"""An audit as people and programs read it: rows of tables, Markdown, a page, SARIF, a badge."""

from __future__ import annotations

from loopline.audit.output.badge import badge_svg
from loopline.audit.output.markdown import audit_markdown
from loopline.audit.output.page import audit_page
from loopline.audit.output.rows import (
    FINDING_COLUMNS,
    ITEM_COLUMNS,
    audit_sentence,
    finding_rows,
    item_rows,
    open_findings,
    themes,
)
from loopline.audit.output.sarif import audit_sarif

__all__ = [
    "FINDING_COLUMNS",
    "ITEM_COLUMNS",
    "audit_markdown",
    "audit_page",
    "audit_sarif",
    "audit_sentence",
    "badge_svg",
    "finding_rows",
    "item_rows",
    "open_findings",
    "themes",
]
