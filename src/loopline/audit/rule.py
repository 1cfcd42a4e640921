"""What a rule is: what it looks for and why, a good and a bad example, and one small function that decides.

Rules stand in explicit tuples; nothing registers itself. A rule of the checklist judges one item and answers with a
verdict; a rule for findings answers with the places that a reader of the code would object to. A test runs every rule
on its own two examples, and the docs page of all rules is made from these fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from loopline.core.records.audit import Evidence, Severity, Verdict
from loopline.repository import History, PastFile, Repository

# Made-up files: paths to texts.
Example = Mapping[str, str]
_NO_HISTORY = History()


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on; done and partial have evidence."""

    verdict: Verdict
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ItemRule:
    """One item of the checklist, by the stable id under which reports of all years are compared.

    `good` is an example that is done, `bad` one that is not; histories come with them where the item is about commits.
    """

    id: str
    theme: str
    asks: str
    # A regular expression that finds the item among the lines of a report's checklist, in lower case; None where no
    # checklist asks for it.
    wording: str | None
    looks_for: str
    why: str
    fix: str
    good: Example
    bad: Example
    check: Callable[[Repository], Judgement]
    good_history: History = field(default=_NO_HISTORY)
    bad_history: History = field(default=_NO_HISTORY)
    # False where files can only hint at it: the item is then no part of the score.
    is_checkable: bool = True


@dataclass(frozen=True, kw_only=True)
class FindingRule:
    """One kind of finding. The rule finds something in the `bad` example and nothing in the `good` one."""

    id: str
    category: str
    title: str
    looks_for: str
    why: str
    fix: str
    severity: Severity
    good: Example
    bad: Example
    check: Callable[[Repository], Iterable[Evidence]]
    # What only the history of the bad example holds.
    bad_past: tuple[PastFile, ...] = ()


def done(*evidence: Evidence) -> Judgement:
    """The files show it, wired up."""
    return Judgement("done", evidence)


def partial(*evidence: Evidence) -> Judgement:
    """Begun, broken, or half of what the item asks; the evidence says which."""
    return Judgement("partial", evidence)


def not_found(*evidence: Evidence) -> Judgement:
    """Nothing in the files shows it; evidence, if any, says what looks like it and is not."""
    return Judgement("not found", evidence)


def cannot_be_seen(*evidence: Evidence) -> Judgement:
    """It may be true, but only prose or a screenshot could say so."""
    return Judgement("cannot be seen", evidence)
