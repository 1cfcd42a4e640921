"""What every form of an audit shows: a row for each item, theme by theme, a row for each finding, a sentence."""

from __future__ import annotations

from collections.abc import Iterator

from loopline.audit.auditing import score
from loopline.core.records.audit import Audit, Evidence, Finding, Item, Severity

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
MARKS = {"done": "✓", "partial": "~", "not found": "✗", "cannot be seen": "?"}
ITEM_COLUMNS = ("", "item", "verdict", "evidence", "own tick")
FINDING_COLUMNS = ("severity", "rule", "place", "what is there", "what mends it")


def themes(audit: Audit) -> dict[str, list[Item]]:
    """The items under each theme, in the checklist's order."""
    found: dict[str, list[Item]] = {}
    for item in audit.items:
        found.setdefault(item.theme, []).append(item)
    return found


def item_rows(items: list[Item]) -> Iterator[tuple[str, ...]]:
    """A row for each item: mark, what it asks, verdict, the first evidence, how the report's tick compares."""
    for item in items:
        evidence = "" if not item.evidence else shown_evidence(item.evidence[0])
        more = f" (and {len(item.evidence) - 1} more)" if len(item.evidence) > 1 else ""
        yield MARKS[item.verdict], item.asks, item.verdict, evidence + more, shown_tick(item)


def finding_rows(findings: list[Finding]) -> Iterator[tuple[str, ...]]:
    """A row for each finding."""
    for finding in findings:
        yield finding.severity, finding.rule, place(finding.evidence), finding.evidence.sentence, finding.fix


def open_findings(audit: Audit, *, at_least: Severity = "note") -> list[Finding]:
    """The findings that the project does not accept and that are at least as severe, the most severe first."""
    wanted = SEVERITIES[: SEVERITIES.index(at_least) + 1]
    found = [finding for finding in audit.findings if finding.accepted is None and finding.severity in wanted]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def place(evidence: Evidence) -> str:
    """`path:line`, with the commit where the place is in history only; empty where there is none."""
    line = "" if evidence.line is None else f":{evidence.line}"
    commit = "" if evidence.commit is None else f" in {evidence.commit[:8]}"
    return "" if evidence.path is None else f"{evidence.path}{line}{commit}"


def shown_evidence(evidence: Evidence) -> str:
    """Place and sentence on one line."""
    where = place(evidence)
    return f"{where}: {evidence.sentence}" if where else evidence.sentence


def shown_tick(item: Item) -> str:
    """The project's own tick, and what it is where it differs from the verdict."""
    if item.ticked is None:
        return ""
    own = "ticked" if item.ticked else "open"
    return own if item.agreement in ("agreed", "cannot be told") else f"{own}: {item.agreement}"


def audit_sentence(audit: Audit) -> str:
    """The whole audit in a few sentences."""
    share = score(audit)
    parts = []
    if share is not None:
        counts = ", ".join(f"{sum(item.verdict == verdict for item in audit.items)} {verdict}" for verdict in MARKS)
        parts.append(f"{share:.0%} of what files can show is done ({counts}).")
    found = open_findings(audit)
    by_severity = [(severity, sum(finding.severity == severity for finding in found)) for severity in SEVERITIES]
    counted = ", ".join(f"{count} {severity}{'s' if count > 1 else ''}" for severity, count in by_severity if count)
    accepted = sum(finding.accepted is not None for finding in audit.findings)
    parts.append(f"Findings: {counted or 'none'}" + (f", {accepted} accepted." if accepted else "."))
    claims = [item.agreement for item in audit.items]
    if over := claims.count("over-claimed"):
        parts.append(f"{over} ticked item{'s' if over > 1 else ''} cannot be confirmed.")
    if under := claims.count("under-claimed"):
        parts.append(f"{under} open item{'s are' if under > 1 else ' is'} done, at least in part.")
    return " ".join(parts)
