"""Markdown into a `Report`: finds questions and answers however a team, a merge or a word processor left them.

Nothing here raises, whatever the text. First the headings that begin questions, then the lines between two of them
without the head of the section that follows, and in those the prompt and the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from loopline.report.answers import cleaned, split
from loopline.report.document import Prose, Question, Report
from loopline.report.limits import LENGTH, read_limits
from loopline.report.lines import (
    bare,
    has_placeholder,
    heading,
    in_code,
    is_quoted,
    marker,
    question_label,
    unquoted,
)
from loopline.repository import read_ticks

_FRONT_MATTER = re.compile(r"---[ \t]*\n((?:[^\n]*\n){0,60}?)---[ \t]*(?:\n|$)")
# Sections that every generation of the course's template has; others are told by what stands in them.
_SECTIONS = (
    "group information", "coding environment", "version control", "running code and tracking experiments",
    "working in the cloud", "deployment", "overall discussion of project", "overall project checklist",
    "project checklist", "appendix", "references",
)  # fmt: skip
_SECTION_OPENING = re.compile(r"\W*in (?:the following|this) section\b", re.I)
_NOTHING = re.compile(r"[\s>*_`\-–—=|#\\&]*$")


def parse_report(text: str) -> Report:
    """The report in a Markdown text, with or without a byte-order mark and with any line ends. Never raises.

    Lines are counted in the text as it is given, front matter included.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    front = _FRONT_MATTER.match(text)
    front_matter = front[1] if front and (not front[1].strip() or ":" in front[1]) else ""
    skipped = text[: front.end()].count("\n") if front and front_matter else 0
    lines = text.split("\n")
    starts = _question_starts(lines, first=skipped)
    parts: list[Prose | Question] = []
    prose_from = skipped
    section = ""
    for number, start in enumerate(starts):
        parts += _prose(lines, prose_from, start)
        section = _last_heading(lines, prose_from, start) or section
        limit = starts[number + 1] if number + 1 < len(starts) else len(lines)
        end = _section_start(lines, start + 1, limit, is_last=limit == len(lines))
        parts.append(_question(lines, start, end, section=section))
        prose_from = end
    parts += _prose(lines, prose_from, len(lines))
    return Report(front_matter, tuple(parts))


def _prose(lines: Sequence[str], start: int, end: int) -> list[Prose]:
    text = "\n".join(lines[start:end]).strip("\n")
    return [Prose(text, start + 1)] if text.strip() else []


def _last_heading(lines: Sequence[str], start: int, end: int) -> str:
    code = in_code(lines[start:end])
    for index in range(end - 1, start - 1, -1):
        found = None if code[index - start] else heading(lines[index])
        if found and not question_label(lines[index]):
            return found.text
    return ""


def _question_starts(lines: Sequence[str], *, first: int) -> list[int]:
    """The lines that begin a question: in code only where no other does, so that a forgotten fence hides none."""
    code = in_code(lines)
    labelled = [(index, found[0]) for index in range(first, len(lines)) if (found := question_label(lines[index]))]
    outside = {label for index, label in labelled if not code[index]}
    labelled = [(index, label) for index, label in labelled if not code[index] or label not in outside]
    if not labelled:
        return _unnumbered_starts(lines, code, first=first)
    starts: list[int] = []
    current = ""
    for (index, label), following in zip(labelled, [*labelled[1:], (len(lines), "")], strict=True):
        # A team that repeats the heading over its answer answers; a merge that repeats a question repeats its prompt.
        block = [unquoted(line) for line in lines[index + 1 : following[0]]]
        repeats_prompt = any(LENGTH.search(line) or marker(line) for line in block)
        if label != current or repeats_prompt:
            starts.append(index)
        current = label
    return starts


def _unnumbered_starts(lines: Sequence[str], code: Sequence[bool], *, first: int) -> list[int]:
    """Where no heading says `Question`: the headings whose own text states a length or marks where to answer."""
    headings = [
        index
        for index in range(first, len(lines))
        if not code[index] and (found := heading(lines[index])) and found.level < 7
    ]
    return [
        start
        for start, end in pairwise([*headings, len(lines)])
        if any(
            not code[index] and (LENGTH.match(bare(unquoted(lines[index])).lstrip("( ")) or marker(lines[index]))
            for index in range(start + 1, end)
        )
    ]


def _section_start(lines: Sequence[str], start: int, end: int, *, is_last: bool) -> int:
    """Where a question's lines end and the head of the next section begins; `end` where no section begins."""
    question = heading(lines[start - 1])
    level = question.level if question else 1
    code = in_code(lines[start:end])
    for index in range(start, end):
        found = None if code[index - start] else heading(lines[index])
        if found is None or is_quoted(lines[index]):
            continue
        title = re.sub(r"^[\d.\s]+", "", found.text.lower()).strip(" :.")
        rest = [line for line in lines[index + 1 : end] if not _NOTHING.match(line)]
        if title in _SECTIONS or (rest and _SECTION_OPENING.match(unquoted(rest[0]))):
            return index
        stands_alone = index == start or not lines[index - 1].strip()
        if found.level < min(level, 7) and stands_alone and _is_head(rest, is_last=is_last):
            return index
    return end


def _is_head(rest: Sequence[str], *, is_last: bool) -> bool:
    """Whether lines under a heading are the head of a section and not an answer: nothing, a quote, or boxes to tick."""
    if len(read_ticks("\n".join(rest))) >= 2:
        return True
    return not is_last and all(is_quoted(line) for line in rest)


def _question(lines: Sequence[str], start: int, end: int, *, section: str) -> Question:
    found = heading(lines[start])
    label, title = question_label(lines[start]) or ("", found.text if found else "")
    block = lines[start + 1 : end]
    parts = split(block)
    slot = "\n".join(block[parts.first : parts.last])[len(parts.prefix) :]
    answer = cleaned(slot)
    leading = next((number for number, line in enumerate(slot.split("\n")) if line.strip(" \t>")), 0) if answer else 0
    asked = "\n".join(part.text for part in parts.prompt if not part.is_example)
    return Question(
        label=label,
        title=title,
        section=section,
        prompt="\n\n".join("\n".join(unquoted(line) for line in part.lines) for part in parts.prompt),
        limits=read_limits(re.sub(r"[*_]{2,}", "", f"{title}\n{asked}")),
        answer=answer,
        line=start + 1,
        answer_line=start + 2 + min(parts.first + leading, max(len(block) - 1, 0)),
        slot=(start + 2 + parts.first, start + 2 + parts.last),
        has_placeholder=has_placeholder(slot),
        slot_prefix=parts.prefix,
    )
