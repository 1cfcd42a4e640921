"""`Audit`: what a project really does, decided from its files, each verdict with its evidence."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from loopline.core.records.record import Record, Time

# What files can say of an item; what only prose or a screenshot tells cannot be seen.
Verdict = Literal["done", "partial", "not found", "cannot be seen"]
# How the report's own tick compares with the verdict.
Agreement = Literal["agreed", "over-claimed", "under-claimed", "cannot be told"]
Severity = Literal["error", "warning", "note"]


class Evidence(Record):
    """One place that shows something: a path from the repository's root, a line from 1 on, a sentence.

    `path` is None for what has no place, as the number of commits; `commit` is set where the place is in history only.
    """

    path: str | None = None
    line: int | None = Field(default=None, ge=1)
    sentence: str = Field(min_length=1)
    commit: str | None = None


class Item(Record):
    """One item of the checklist: what it asks, what the files show, and what the project's own report says."""

    item: str = Field(min_length=1)
    theme: str = Field(min_length=1)
    asks: str = Field(min_length=1)
    verdict: Verdict
    evidence: tuple[Evidence, ...] = ()
    # None: the report's checklist lacks the item, or there is none.
    ticked: bool | None = None
    agreement: Agreement | None = None

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.verdict in ("done", "partial") and not self.evidence:
            raise ValueError(f"item '{self.item}' is {self.verdict} without evidence")
        if (self.ticked is None) != (self.agreement is None):
            raise ValueError(f"item '{self.item}' has a tick or an agreement; expected both or neither")
        return self


class Finding(Record):
    """Something that a reader of the code would object to, where it is, and what mends it."""

    rule: str = Field(min_length=1)
    severity: Severity
    evidence: Evidence
    fix: str = Field(min_length=1)
    # The reason why the project accepts it, from its `loopline-audit.yaml`.
    accepted: str | None = None


class Audit(Record):
    """A repository's checklist and findings at one commit; nothing of it was executed."""

    schema_version: Literal[1] = 1
    subject: str
    # None: no git repository, or none with a commit.
    commit: str | None
    # Whether tracked files differ from the commit.
    changed: bool = False
    num_files: int = Field(ge=0)
    # Files that could not be read or parsed, each with the reason.
    unreadable: tuple[Evidence, ...] = ()
    items: tuple[Item, ...]
    findings: tuple[Finding, ...]
    # The file with the project's own ticks.
    checklist: str | None = None
    created_at: Time
