"""Checklists in Markdown: each line with a box, whether it is ticked, and what it says, in every spelling."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A bullet or a number, then a box. Word processors escape the brackets; some teams put a check mark where a box was.
_LINE = re.compile(
    r"^(?P<indent>[\s>]*)(?:(?P<bullet>[-*+•]|\d+[.)])\s*)?"
    r"(?:\\?\[(?P<box>[^\[\]\\]{0,20})\\?\]|\((?P<round>[xX✓✔ ]{1,3})\)|(?P<sign>[☐☑☒✅✔✓❌⬜✗]️?))"
    r"(?![(\[:])\s*(?P<text>\S.*)$"
)
_TICKS = re.compile(r"x+|✅|✔|✓|☑|☒|v|y|yes|ok|done|checked|check|true|🗸|:(white|heavy)checkmark:", re.I)


@dataclass(frozen=True)
class Tick:
    """One line of a checklist: what it says without its markup, whether its box is ticked, the line from 1 on."""

    text: str
    is_ticked: bool
    line: int
    # What stands in the box, as it is written.
    mark: str


def read_ticks(text: str) -> list[Tick]:
    """The lines with a box in a Markdown text, in order; code blocks are left out. Never raises."""
    found = []
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip(" >")
        if match := re.match(r"(`{3,}(?=[^`]*$)|~{3,})", stripped):
            fence = "" if fence and stripped.startswith(fence) else fence or match[1]
            continue
        match = None if fence else _LINE.match(line)
        if match is None:
            continue
        mark = next((part for part in (match["box"], match["round"], match["sign"]) if part is not None), "")
        # `[text]` without a bullet is prose; a box holds a mark, and a round one needs its bullet.
        if match["bullet"] is None and not (_is_box(mark) and match["round"] is None):
            continue
        if _is_box(mark):
            found.append(Tick(plain_text(match["text"]), is_tick(mark), number, mark))
    return found


def is_tick(mark: str) -> bool:
    """Whether what stands in a box says that it is ticked: `x`, `X `, ✅, `check`; not a blank, `/` or `..`."""
    return bool(_TICKS.fullmatch(re.sub(r"[\s️*_`]", "", mark)))


def plain_text(text: str) -> str:
    """A line without emphasis, code marks, escapes, tags and links' targets."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<[^<>]{1,200}>", " ", text)
    text = re.sub(r"(?<!\\)(\*\*|__|~~|`|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w))", "", text)
    return " ".join(re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", text).split())


def _is_box(mark: str) -> bool:
    short = re.sub(r"[\s️*_`]", "", mark)
    return (
        not short
        or is_tick(short)
        or bool(re.fullmatch(r"[-/.~?o0✗✘❌☐⬜]{1,3}|no|n|wip|todo|tbd|n/a|na", short, re.I))
    )
