"""Drafts of answers from evidence: marked as drafts, each sentence with its source, never over what somebody wrote."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from loopline.core.records.audit import Audit
from loopline.core.store import digest_bytes, write_bytes
from loopline.report.coverage import Coverage
from loopline.report.document import DRAFT_NOTE, Question
from loopline.report.drafts import TOPICS
from loopline.report.evidence import Draft, Picture, Sentence, Sources
from loopline.report.finding import ReportFile
from loopline.report.parse import parse_report
from loopline.repository import Repository

_DRAFT = re.compile(r"<!-- draft ([0-9a-f]{12}) -->\n(.*)\n<!-- end of draft -->", re.S)
_MAX_SENTENCES = 14


@dataclass(frozen=True)
class Filled:
    """What `fill_report` did: the file, its text, the figures by their names, and the questions by their labels."""

    path: Path
    text: str
    figures: tuple[tuple[str, bytes], ...]
    drafted: tuple[str, ...]
    kept: tuple[str, ...]
    still_open: tuple[str, ...]


def fill_report(
    file: ReportFile, repository: Repository, *, audit: Audit | None = None, coverage: Coverage | None = None
) -> Filled:
    """Drafts the answers that evidence can give. Writes nothing, runs nothing, and raises on no text of a report.

    A question that somebody answered is kept as it is; a draft of ours that nobody changed is made anew.
    """
    sources = Sources(repository, audit, file.root, coverage)
    lines = file.text.split("\n")
    drafted: list[str] = []
    kept: list[str] = []
    still_open: list[str] = []
    figures: dict[str, bytes] = {}
    for question in reversed(parse_report(file.text).questions):
        name = question.label or question.title
        if question.answer and not is_draft(question.answer):
            kept.append(name)
            continue
        draft = _draft(question, sources)
        if not draft.sentences:
            still_open.append(name)
            continue
        figures |= {f"{picture.name}{suffix}": data for picture in draft.pictures for suffix, data in picture.files}
        start, end = question.slot
        head = [question.slot_prefix.rstrip()] if question.slot_prefix else []
        above = head or lines[start - 2 : start - 1]
        blank = [""] if above and above[0].strip() else []
        lines[start - 1 : end - 1] = [*head, *blank, *_written(draft).split("\n"), ""]
        drafted.append(name)
    text = "\n".join(lines)
    return Filled(
        file.path,
        text,
        tuple(sorted(figures.items())),
        tuple(drafted[::-1]),
        tuple(kept[::-1]),
        tuple(still_open[::-1]),
    )


def write_filled(filled: Filled, file: ReportFile) -> None:
    """Writes a filled report in place, with the line ends and the mark that the file has, and its figures beside it."""
    for name, data in filled.figures:
        write_bytes(file.folder / "figures" / name, data)
    old = file.path.read_bytes()
    text = filled.text.replace("\n", "\r\n") if b"\r\n" in old else filled.text
    mark = b"\xef\xbb\xbf" if old.startswith(b"\xef\xbb\xbf") else b""
    write_bytes(file.path, mark + text.encode("utf-8", "surrogatepass"))


def is_draft(answer: str) -> bool:
    """Whether an answer is a draft of ours that nobody changed."""
    match = _DRAFT.fullmatch(answer.strip())
    return match is not None and _digest(match[2]) == match[1]


def _draft(question: Question, sources: Sources) -> Draft:
    asked = re.sub(r"[*_>\s]+", " ", f"{question.title} {question.prompt}").lower().partition(" example: ")[0]
    topic = next((topic for topic in TOPICS if re.search(topic.wording, asked)), None)
    return Draft(()) if topic is None else topic.draft(sources)


def _written(draft: Draft) -> str:
    seen: dict[str, Sentence] = {}
    for sentence in draft.sentences:
        seen.setdefault(sentence.text, sentence)
    parts = [DRAFT_NOTE, "\n".join(f"- {_line(sentence)}" for sentence in list(seen.values())[:_MAX_SENTENCES])]
    parts += [_shown(picture) for picture in draft.pictures]
    if draft.still_open:
        parts.append(f"*For you to say: {draft.still_open}*")
    body = "\n\n".join(parts)
    return f"<!-- draft {_digest(body)} -->\n{body}\n<!-- end of draft -->"


def _line(sentence: Sentence) -> str:
    """A sentence on one line, with its sources; what it quotes from files can hide no marker of a draft."""
    text = " ".join(sentence.text.split()).replace("<!--", "< !--").replace("-->", "-- >")
    sources = ", ".join(f"`{source.replace('`', '')}`" for source in sentence.sources)
    return f"{text} ({sources})" if sources else text


def _shown(picture: Picture) -> str:
    alt = re.sub(r"[^\w ,:.-]", "", picture.alt)
    return f"![{alt}](figures/{picture.name}.png)"


def _digest(text: str) -> str:
    return digest_bytes(text.encode("utf-8", "surrogatepass"))[:12]
