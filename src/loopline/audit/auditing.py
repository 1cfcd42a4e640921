"""`audit`: the verdict on each item of the checklist, and the findings, of one repository."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from loopline.audit.agreement import agreement, find_checklist
from loopline.audit.brought import brought
from loopline.audit.checklist import ITEMS
from loopline.audit.findings.credentials import hide_credentials
from loopline.audit.rule import FindingRule, ItemRule
from loopline.core.records import utc_now
from loopline.core.records.audit import Audit, Evidence, Finding, Item
from loopline.repository import Repository

# A command can be as long as a script.
_MAX_CHARACTERS = 240
_POINTS = {"done": 1.0, "partial": 0.5, "not found": 0.0}


def audit(repository: Repository, *, items: Sequence[ItemRule] = ITEMS, findings: Sequence[FindingRule] = ()) -> Audit:
    """Judges every item and looks for every finding; executes and fetches nothing of the repository."""
    with _uncollected():
        own = find_checklist(repository, ITEMS)
        ticks = {} if own is None else own.ticks
        judged = tuple(_judge(repository, rule, ticks.get(rule.id)) for rule in items)
        found = tuple(finding for rule in findings for finding in _look(repository, rule))
    return Audit(
        subject=repository.name,
        commit=repository.commit,
        changed=repository.is_changed,
        num_files=len(repository.files),
        unreadable=tuple(
            Evidence(path=path, sentence=f"Left out: {reason}.")
            for path, reason in sorted(repository.unreadable.items())
        ),
        items=judged,
        findings=found,
        checklist=None if own is None else own.path,
        created_at=utc_now(),
    )


def score(audit: Audit) -> float | None:
    """The share of the items that files can show which are done, partial ones half; None where there is none."""
    points = [_POINTS[item.verdict] for item in audit.items if item.verdict in _POINTS]
    return sum(points) / len(points) if points else None


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keeps the garbage collector from walking, over and over, syntax trees that live to the end: a third less time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _judge(repository: Repository, rule: ItemRule, is_ticked: bool | None) -> Item:
    judgement = rule.check(repository)
    if judgement.verdict != "done":
        judgement = brought(repository, rule.id) or judgement
    return Item(
        item=rule.id,
        theme=rule.theme,
        asks=rule.asks,
        verdict=judgement.verdict,
        evidence=tuple(_without_secrets(evidence) for evidence in judgement.evidence),
        ticked=is_ticked,
        agreement=None
        if is_ticked is None
        else agreement(judgement.verdict, is_ticked=is_ticked, is_checkable=rule.is_checkable),
    )


def _look(repository: Repository, rule: FindingRule) -> list[Finding]:
    return [
        Finding(rule=rule.id, severity=rule.severity, evidence=_without_secrets(evidence), fix=rule.fix)
        for evidence in rule.check(repository)
    ]


def _without_secrets(evidence: Evidence) -> Evidence:
    """A sentence may quote a command, and a command may hold a key; cut after that, or half a key would be left."""
    sentence = hide_credentials(evidence.sentence)
    shortened = sentence if len(sentence) <= _MAX_CHARACTERS else f"{sentence[:_MAX_CHARACTERS]}…"
    return evidence.model_copy(update={"sentence": shortened})
