"""The project audits itself: nothing is found that it does not accept, and what it accepts is still there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from loopline.audit.exceptions import read_settings, unused
from loopline.audit.findings import FINDINGS
from loopline.audit.output import open_findings
from loopline.audit.output.rows import place
from loopline.audit.project import audit_project
from loopline.core.records.audit import Audit
from loopline.repository import open_repository

ROOT = Path(__file__).parent.parent.parent


@cache
def own_audit() -> Audit:
    """The audit of this checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    return audit_project(ROOT)


def test_the_project_finds_nothing_in_itself() -> None:
    """No finding of any severity is open."""
    assert [f"{finding.rule} {place(finding.evidence)}" for finding in open_findings(own_audit())] == []


def test_every_exception_is_needed() -> None:
    """An exception that covers nothing any more is taken out."""
    settings = read_settings(open_repository(ROOT), [rule.id for rule in FINDINGS])
    assert unused(own_audit(), settings.exceptions) == []


def test_every_file_can_be_read() -> None:
    """Whatever the project holds, its own audit can parse it."""
    assert [f"{evidence.path}: {evidence.sentence}" for evidence in own_audit().unreadable] == []
