"""The project's own ticks: the checklist that its report holds, and how each tick compares with the verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loopline.audit.rule import ItemRule
from loopline.core.records.audit import Agreement, Verdict
from loopline.repository import Repository, Tick, read_ticks

# A list of fewer known items is some other list.
_MIN_ITEMS = 8
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class OwnChecklist:
    """A checklist in one of the project's files: the items that it has, and whether each is ticked."""

    path: str
    ticks: Mapping[str, bool]


def find_checklist(repository: Repository, items: Sequence[ItemRule]) -> OwnChecklist | None:
    """The project's own checklist: of several the one that looks most like a report's, or the one with more ticks.

    An item that stands there twice, as after a merge, is ticked if any copy is.
    """
    found = []
    for path in repository.own_paths:
        size = repository.files[path].num_bytes or 0
        if (
            path.startswith(".")
            or size > _MAX_BYTES
            or not re.search(r"\.(md|markdown|txt|rst)$|(^|/)readme", path, re.IGNORECASE)
        ):
            continue
        ticks = match_ticks(read_ticks(repository.text(path) or ""), items)
        if len(ticks) >= _MIN_ITEMS:
            found.append(OwnChecklist(path, ticks))
    is_report = re.compile(r"(^|/)reports?/", re.IGNORECASE)
    return max(
        found,
        key=lambda own: (sum(own.ticks.values()) > 0, bool(is_report.search(own.path)), len(own.ticks)),
        default=None,
    )


def match_ticks(ticks: Sequence[Tick], items: Sequence[ItemRule]) -> dict[str, bool]:
    """Each item that a line of the list asks for, and whether any such line is ticked."""
    found: dict[str, bool] = {}
    # Our own template asks in the items' own words.
    by_own_words = {item.asks.lower().rstrip("."): item for item in items}
    for tick in ticks:
        text = tick.text.lower()
        item = by_own_words.get(text.rstrip(".")) or next(
            (item for item in items if item.wording and re.search(item.wording, text)), None
        )
        if item is not None:
            found[item.id] = found.get(item.id, False) or tick.is_ticked
    return found


def agreement(verdict: Verdict, *, is_ticked: bool, is_checkable: bool) -> Agreement:
    """How a tick compares with a verdict; a partial item agrees with neither."""
    if verdict == "cannot be seen" or not is_checkable:
        return "cannot be told"
    if is_ticked:
        return "agreed" if verdict == "done" else "over-claimed"
    return "agreed" if verdict == "not found" else "under-claimed"
