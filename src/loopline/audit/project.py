"""`audit_project`: opens a project, audits it, and marks the findings that it accepts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loopline.audit.auditing import audit
from loopline.audit.checklist import ITEMS
from loopline.audit.exceptions import accept, read_settings
from loopline.audit.findings import FINDINGS
from loopline.core.errors import UnknownName
from loopline.core.records.audit import Audit
from loopline.repository import Repository, open_repository


def audit_project(project: str | Path = ".", *, only: Sequence[str] = ()) -> Audit:
    """Audits the project in a folder: every item of the checklist and every rule for findings, with evidence.

    `only` keeps the items and rules of these ids, themes or categories. Nothing of the project is executed or fetched,
    and nothing is written. Raises `InputError` for what is no folder, `UnknownName` for an id that does not exist, and
    `ConfigError` for a `loopline-audit.yaml` that is wrong.
    """
    return audit_repository(open_repository(project), only=only)


def audit_repository(repository: Repository, *, only: Sequence[str] = ()) -> Audit:
    """As `audit_project`, for a repository that is open already."""
    wanted = {name.lower() for name in only}
    items = [rule for rule in ITEMS if not wanted or wanted & {rule.id.lower(), rule.theme.lower()}]
    rules = [rule for rule in FINDINGS if not wanted or wanted & {rule.id.lower(), rule.category.lower()}]
    known = {name for rule in ITEMS for name in (rule.id, rule.theme)}
    known |= {name for rule in FINDINGS for name in (rule.id, rule.category)}
    for name in only:
        if name.lower() not in {other.lower() for other in known}:
            raise UnknownName("item, rule, theme or category", name, known)
    settings = read_settings(repository, [rule.id for rule in FINDINGS])
    return accept(audit(repository, items=items, findings=rules), settings.exceptions)
