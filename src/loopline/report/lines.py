"""What one line of a report can be: a heading, the marker of an answer, a placeholder, a rule of dashes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_QUOTE = re.compile(r"[ \t]{0,3}>[ \t]?")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|(?=\*\*|Question))(.*?)[ \t]*#*[ \t]*$")
_HTML_HEADING = re.compile(r"\s*<h([1-6])[^<>]*>(.*?)</h\1>\s*$", re.I)
# A paragraph that is wholly bold is what word processors make of a heading.
_BOLD = re.compile(r"\s*(\*\*|__)(?=\S)(.{1,120}?)(?<=\S)\1\s*[:.]?\s*$")
_QUESTION = re.compile(
    r"(?:question|q|exercise|spørgsmål|frage)\s*(?:no\.?|nr\.?|#)?\s*(?P<label>\d{1,3}[a-z]?)(?![\w.]*\d)"
    r"(?:\s*[:.)–—|-]+\s*(?P<title>.*)|\s*\(.*\)|\s*)$",
    re.I,
)
_PLAIN_QUESTION = re.compile(r"\s*question\s+\d{1,3}[a-z]?\s*[:.]?\s*$", re.I)
_MARKER = re.compile(
    r"\s*(?:#{1,6}\s+)?(\*\*|__|\*|_|)\s*(?:your\s+)?answer\s*(?:\1\s*:|:\s*\1)\s*(?P<rest>.*)$", re.I | re.S
)
# Possessive repeats and matches that begin where a run begins: a line of ten thousand dashes takes no longer to refuse.
_PLACEHOLDER = re.compile(
    r"\b(?:question\s{1,5}\d{1,3}[a-z]?\s{1,5}fill|(?:your\s)?answer(?:\sto\squestion)?(?:\s\d{1,3}[a-z]?)?\s(?:goes|comes))"
    r"\s{1,5}here\b",
    re.I,
)
_DASHES = "-–—\\"
_AROUND = _DASHES + "` \t"
_OPENING = re.compile(r"\s*+(?:`\s*+`\s*+)?((?:\\?[-–—])++)(?=\s|$|[^\s|>])")
_CLOSING = re.compile(r"(?<![-–—\\])((?:\\?[-–—])++)$")
# Longer lines are no headings.
_MAX_HEADING = 1000


@dataclass(frozen=True)
class Heading:
    """A heading: its level from 1 to 6 (7 for a bold paragraph, 8 for a plain line), its text without marks."""

    level: int
    text: str


def unquoted(line: str) -> str:
    """The line without the marks of a quote around it, whatever the depth."""
    while match := _QUOTE.match(line):
        line = line[match.end() :]
    return line


def is_quoted(line: str) -> bool:
    """Whether the line stands in a quote by its own mark."""
    return bool(_QUOTE.match(line))


def heading(line: str) -> Heading | None:
    """The heading that a line is, outside code."""
    if len(line) > _MAX_HEADING:
        return None
    line = unquoted(line)
    if match := _HEADING.match(line):
        return Heading(len(match[1]), bare(match[2]))
    if match := _HTML_HEADING.match(line):
        return Heading(int(match[1]), bare(re.sub(r"<[^<>]*>", "", match[2])))
    if match := _BOLD.match(line):
        return Heading(7, bare(match[2]))
    return Heading(8, bare(line)) if _PLAIN_QUESTION.match(line) else None


def question_label(line: str) -> tuple[str, str] | None:
    """The number of the question that a line begins, and what the heading says after it."""
    found = heading(line)
    match = _QUESTION.match(found.text) if found else None
    if match is None or (found and found.level == 8 and is_quoted(line)):
        return None
    return match["label"].lower().lstrip("0") or "0", (match["title"] or "").strip()


def marker(line: str) -> re.Match[str] | None:
    """The match of `Answer:` at the start of a line; its group `rest` is what stands after it."""
    return _MARKER.match(unquoted(line).replace("\\:", ":"))


def without_placeholder(text: str) -> str:
    """The text without what a template writes where an answer belongs."""
    kept, end = [], 0
    for start, stop in _placeholders(text):
        kept.append(text[end:start])
        end = stop
    return "".join([*kept, text[end:]])


def has_placeholder(text: str) -> bool:
    """Whether something that a template writes where an answer belongs is left."""
    return bool(_placeholders(text))


def _placeholders(text: str) -> list[tuple[int, int]]:
    """Where placeholders begin and end: the words, with dashes on both sides, maybe as code."""
    found = []
    for match in _PLACEHOLDER.finditer(text):
        before, after = text[: match.start()][-200:], text[match.end() :][:200]
        left = before[len(before.rstrip(_AROUND)) :]
        right = after[: len(after) - len(after.lstrip(_AROUND))]
        if all(sum(side.count(dash) for dash in "-–—") >= 2 for side in (left, right)):
            found.append((match.start() - len(left), match.end() + len(right)))
    return found


def without_dashes(text: str) -> str:
    """An answer without the dashes of a placeholder that were left around it."""
    text = text.strip("\n")
    opening = _OPENING.match(text)
    if opening and _is_rule(opening[1]):
        text = text[opening.end() :].lstrip()
    text = text.rstrip()
    closing = _CLOSING.search(text)
    if closing and _is_rule(closing[1]):
        text = re.sub(r"`[ \t]{0,3}`$", "", text[: closing.start()].rstrip()).rstrip()
    return text.strip("\n")


def _is_rule(dashes: str) -> bool:
    """Three hyphens, or what a word processor makes of them; fewer are a list's mark or a sentence's dash."""
    return dashes.count("-") >= 3 or "—" in dashes or "–" in dashes


def bare(text: str) -> str:
    """A heading's text without emphasis, escapes and anchors."""
    text = re.sub(r"<a\b[^<>]*>|</a>|\{#[\w-]*\}", "", text)
    return re.sub(r"\\([^\w\s])", r"\1", re.sub(r"\*\*|__|`", "", text)).strip(" *_\t\ufeff")


def in_code(lines: Sequence[str]) -> list[bool]:
    """Per line whether it stands in a fenced block of code, its fences included; a fence that nothing ends is none."""
    mask = [False] * len(lines)
    start, fence = 0, ""
    for index, line in enumerate(lines):
        match = _FENCE.match(unquoted(line))
        if match is None:
            continue
        if not fence:
            start, fence = index, match[1]
        elif match[1].startswith(fence) and not unquoted(line)[match.end() :].strip():
            mask[start : index + 1] = [True] * (index + 1 - start)
            fence = ""
    return mask
