"""Findings beyond the checklist: what a reader of the code would object to, each rule one small function."""

from __future__ import annotations

from loopline.audit.findings import data, dependencies, images, safety, secrets, serving, training
from loopline.audit.rule import FindingRule

FINDINGS: tuple[FindingRule, ...] = (
    *secrets.RULES,
    *safety.RULES,
    *training.RULES,
    *data.RULES,
    *serving.RULES,
    *images.RULES,
    *dependencies.RULES,
)
