"""A stage: what a project really does, decided from its files, with evidence for each verdict.

`audit` judges the items of the checklist and looks for findings; `loopline.repository` reads the files.
"""

from __future__ import annotations

from loopline.audit.agreement import OwnChecklist, find_checklist, match_ticks
from loopline.audit.auditing import audit, score
from loopline.audit.checklist import ITEMS
from loopline.audit.rule import FindingRule, ItemRule, Judgement

__all__ = [
    "ITEMS",
    "FindingRule",
    "ItemRule",
    "Judgement",
    "OwnChecklist",
    "audit",
    "find_checklist",
    "match_ticks",
    "score",
]
