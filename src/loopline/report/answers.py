"""Where in the lines of a question its prompt ends and its answer stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from loopline.report.limits import LENGTH
from loopline.report.lines import in_code, is_quoted, marker, unquoted, without_dashes, without_placeholder

_EXAMPLE = re.compile(r"\W*examples?\W*:", re.I)
_COMMENT = re.compile(r"<!--.*?(?:-->|$)", re.S)
# Nothing that a reader sees: quote marks, dashes, escapes and emphasis around nothing.
_NOTHING = re.compile(r"[\s>*_`\-–—=|#\\]*+(?:(?:&nbsp;|<br ?/?>)[\s>\\]*+)*+$")


@dataclass(frozen=True)
class Paragraph:
    """Lines without a blank one between them, all in a quote or none; `start` counts from the block's first line."""

    start: int
    lines: tuple[str, ...]
    is_quoted: bool

    @property
    def end(self) -> int:
        """The line after the last."""
        return self.start + len(self.lines)

    @property
    def text(self) -> str:
        """The lines as one, without the quote's marks."""
        return " ".join(unquoted(line).strip() for line in self.lines)

    @property
    def is_example(self) -> bool:
        """Whether it shows what an answer might look like."""
        return bool(_EXAMPLE.match(self.text))

    @property
    def asks(self) -> bool:
        """Whether its form is a prompt's: bold throughout, a length, or an example."""
        return bool(_is_wrapped(self.text, ("**", "__")) or LENGTH.search(self.text) or self.is_example)


@dataclass(frozen=True)
class Split:
    """A question's lines taken apart: the paragraphs that ask, and from where to where the answer stands or belongs.

    `first` and `last` count from the block's first line; `prefix` is what precedes the answer on its first line.
    """

    prompt: tuple[Paragraph, ...]
    first: int
    last: int
    prefix: str = ""


def cleaned(answer: str) -> str:
    """An answer without a placeholder, the dashes left around it and hidden comments; empty if nothing is left."""
    lines = answer.split("\n")
    if all(is_quoted(line) for line in lines if line.strip()):
        answer = "\n".join(unquoted(line) for line in lines)
    answer = without_dashes(without_placeholder(answer))
    return "" if _NOTHING.match(_COMMENT.sub("", answer)) else answer


def split(block: Sequence[str]) -> Split:
    """Takes the lines between a question's heading and the next apart."""
    code = in_code(block)
    at = next((index for index, line in enumerate(block) if not code[index] and marker(line)), None)
    if at is None:
        return _without_marker(block)
    match = marker(block[at])
    rest = match["rest"] if match else ""
    prompt = tuple(paragraphs(block[:at]))
    if cleaned(rest):
        return Split(prompt, at, len(block), block[at][: len(block[at]) - len(rest)])
    after = Split(prompt, at + 1, len(block))
    if cleaned("\n".join(block[at + 1 :])):
        return after
    before = _answer_above(prompt)
    if before:
        return Split(prompt[: len(prompt) - len(before)], before[0].start, before[-1].end)
    return after


def paragraphs(block: Sequence[str]) -> list[Paragraph]:
    """The paragraphs of a block; a change between quoted and unquoted lines parts them too."""
    found: list[Paragraph] = []
    for index, line in enumerate(block):
        if not unquoted(line).strip():
            continue
        last = found[-1] if found else None
        if last and last.end == index and last.is_quoted == is_quoted(line):
            found[-1] = Paragraph(last.start, (*last.lines, line), last.is_quoted)
        else:
            found.append(Paragraph(index, (line,), is_quoted(line)))
    return found


def _without_marker(block: Sequence[str]) -> Split:
    """What follows the paragraphs that ask, be it outside the quote or, where nothing is there, at its end."""
    parts = paragraphs(block)
    leading = _num_asking(parts)
    answer = parts[leading:]
    if not answer or not cleaned("\n".join(line for part in answer for line in part.lines)):
        answer = _answer_above(tuple(parts))
        leading = len(parts) - len(answer)
    if answer:
        return Split(tuple(parts[:leading]), answer[0].start, len(block))
    return Split(tuple(parts), parts[-1].end if parts else 0, len(block))


def _num_asking(parts: Sequence[Paragraph]) -> int:
    """How many leading paragraphs ask: quoted ones, those that ask by their form, and all above a stated length."""
    lengths = [index for index, part in enumerate(parts) if LENGTH.match(part.text.lstrip("*_( ")) or part.is_example]
    num_asking = 0
    for index, part in enumerate(parts):
        follows_example = any(before.is_example for before in parts[:index]) and _is_italic(part.text)
        if not (part.is_quoted or part.asks or follows_example or any(index < length for length in lengths)):
            break
        num_asking = index + 1
    return num_asking


def _answer_above(parts: Sequence[Paragraph]) -> list[Paragraph]:
    """The paragraphs above the marker that do not ask: unquoted ones under a quote, else plain ones at the end."""
    has_quote = any(part.is_quoted for part in parts)
    found: list[Paragraph] = []
    for part in reversed(parts):
        if part.asks or (has_quote and found and part.is_quoted != found[0].is_quoted):
            break
        found.insert(0, part)
    asking = parts[: len(parts) - len(found)]
    if any(part.is_example for part in asking):
        while found and _is_italic(found[0].text):
            found.pop(0)
    # A plain prompt, of which nothing says where it ends, is no answer.
    is_sure = any(part.asks or part.is_quoted for part in asking)
    text = "\n".join(line for part in found for line in part.lines)
    return found if is_sure and cleaned(text) else []


def _is_wrapped(text: str, marks: tuple[str, ...]) -> bool:
    text = text.strip(" \t.,:;()")
    return any(text.startswith(mark) and text.endswith(mark) and len(text) > 2 * len(mark) for mark in marks)


def _is_italic(text: str) -> bool:
    return _is_wrapped(text, ("*", "_")) and not text.lstrip().startswith(("**", "__"))
