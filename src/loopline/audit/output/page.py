"""An audit as one self-contained HTML page."""

from __future__ import annotations

from collections import Counter

from loopline.audit.auditing import score
from loopline.audit.output.rows import (
    FINDING_COLUMNS,
    ITEM_COLUMNS,
    audit_sentence,
    finding_rows,
    item_rows,
    open_findings,
    place,
    themes,
)
from loopline.core.records.audit import Audit
from loopline.page import Block, KeyFigure, KeyFigures, Section, Table, Text, Verdict, render_page


def audit_page(audit: Audit) -> str:
    """The page: verdict, key figures, findings, the checklist by theme, accepted findings, what could not be read."""
    found = open_findings(audit)
    has_error = any(finding.severity == "error" for finding in found)
    head = Verdict("bad" if has_error else "good", audit_sentence(audit))
    findings: Block = Text("Nothing was found.")
    if found:
        findings = Table("What a reader of the code would object to", FINDING_COLUMNS, tuple(finding_rows(found)))
    sections = [Section("", (head, _key_figures(audit))), Section("Findings", (findings,))]
    for theme, items in themes(audit).items():
        # The mark stands first in other forms; here the first cell names its row.
        rows = tuple((asks, f"{mark} {verdict}", *rest) for mark, asks, verdict, *rest in item_rows(items))
        sections.append(Section(theme, (Table(f"Checklist: {theme}", ITEM_COLUMNS[1:], rows),)))
    accepted = tuple(
        (finding.rule, place(finding.evidence), finding.accepted) for finding in audit.findings if finding.accepted
    )
    if accepted:
        table = Table("Findings that the project accepts", ("rule", "place", "reason"), accepted)
        sections.append(Section("Accepted", (table,)))
    if audit.unreadable:
        rows = tuple((evidence.path or "", evidence.sentence) for evidence in audit.unreadable)
        sections.append(Section("Left out", (Table("Files that were not read", ("file", "reason"), rows),)))
    facts = [("commit", audit.commit or "none"), ("files", f"{audit.num_files:,}")]
    if audit.checklist:
        facts.append(("own checklist", audit.checklist))
    lead = "Decided from the project's files; nothing of it was executed."
    return render_page(f"Audit of {audit.subject}", sections, lead=lead, facts=facts, created_at=audit.created_at)


def _key_figures(audit: Audit) -> KeyFigures:
    verdicts = Counter(item.verdict for item in audit.items)
    severities = Counter(finding.severity for finding in open_findings(audit))
    share = score(audit)
    return KeyFigures(
        (
            KeyFigure("score", "–" if share is None else f"{share:.0%}", "of what files can show; partial counts half"),
            KeyFigure("done", str(verdicts["done"]), f"{verdicts['partial']} partial"),
            KeyFigure("errors", str(severities["error"]), f"{severities['warning']} warnings"),
        )
    )
