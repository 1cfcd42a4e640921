"""What is known about a project: the sentences that a draft is made of, each with its source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from loopline.core.records.audit import Audit, Evidence
from loopline.report.coverage import Coverage
from loopline.report.walk import walk
from loopline.repository import Repository

# `outputs/2026-01-31/12-00-00/wandb/run-…/files/config.yaml`
_RESULTS_DEPTH = 7


@dataclass(frozen=True)
class Sentence:
    """One sentence of a draft and the places, files or commands that show it."""

    text: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A picture that a draft shows: what it is called in `figures/`, its words, its bytes by suffix."""

    name: str
    alt: str
    files: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Draft:
    """What evidence says to one question, and what it cannot know, as a question to the authors."""

    sentences: tuple[Sentence, ...]
    pictures: tuple[Picture, ...] = ()
    still_open: str = ""


@dataclass(frozen=True)
class Sources:
    """Everything that drafts may look at: the files, the audit where there is one, the folder for what is untracked.

    `coverage` is set where somebody asked to have it measured.
    """

    repository: Repository
    audit: Audit | None
    root: Path
    coverage: Coverage | None = None

    @cached_property
    def loose_files(self) -> tuple[Path, ...]:
        """What lies in the project's folder, tracked or not: results are seldom in git."""
        return tuple(walk(self.root, depth=_RESULTS_DEPTH))

    def said(self, *items: str) -> list[Sentence]:
        """What the audit found for these items, done or partial ones, in their order."""
        known = {item.item: item for item in (self.audit.items if self.audit else ())}
        found = [known[name] for name in items if name in known and known[name].verdict in ("done", "partial")]
        return [
            as_sentence(item.asks, item.evidence[:2], begun=item.verdict == "partial")
            for item in found
            if item.evidence
        ]


def as_sentence(claim: str, evidence: Sequence[Evidence], *, begun: bool = False) -> Sentence:
    """A claim with what shows it and where."""
    texts = dict.fromkeys(item.sentence.strip() for item in evidence)
    text = " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in texts)
    return Sentence(
        f"{'In part: ' if begun else ''}{claim} {text}", tuple(dict.fromkeys(place(item) for item in evidence))
    )


def place(evidence: Evidence) -> str:
    """`src/train.py:12`; without a file, all of them."""
    if evidence.path is None:
        return "all files"
    return evidence.path + (f":{evidence.line}" if evidence.line else "")


def listed(words: Iterable[str], *, most: int = 6) -> str:
    """`a, b and c`, or the first few and how many more."""
    names = list(words)
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "none"


def number(value: int, noun: str) -> str:
    """`1 test`, `2 tests`."""
    return f"{value} {noun}" if value == 1 else f"{value:,} {noun}s"
