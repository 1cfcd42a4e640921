"""A report as one page: nothing to load, nothing that runs, readable by everybody, on paper and in the dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from datetime import datetime
from html import escape
from importlib import resources
from pathlib import Path

from loopline.page import KeyFigure, KeyFigures, Markup, Section, Verdict, render_page
from loopline.report.check import AnswerCheck, Problem, ReportCheck, check_report
from loopline.report.document import Prose, Question
from loopline.report.evidence import number
from loopline.report.figures import find_figure
from loopline.report.finding import ReportFile
from loopline.report.lines import heading, in_code
from loopline.report.markup import safe_html
from loopline.report.parse import parse_report
from loopline.repository import read_ticks

# A larger picture is made smaller: a page of screenshots should still fit into a mail.
_MAX_PICTURE_BYTES = 700_000
_MAX_PICTURE_SIDE = 1600
# Characters of a question in the list of questions.
_MAX_LISTED = 46
# A checklist of more boxes stands in columns, where there is room.
_LONG_CHECKLIST = 12


def render_report(file: ReportFile, *, created_at: datetime | None = None) -> str:
    """The HTML of a report with its pictures in it, the state of its checklist and of every answer.

    Reads pictures below the project's root. Never raises on any text. `created_at` (default: now) stands in the foot.
    """
    checked = check_report(file)
    report = parse_report(file.text)
    title = _title(report.parts, file)
    sections = [_summary(checked), _contents(report.questions, checked)]
    states = iter(checked.answers)
    num_questions = 0
    for part in report.parts:
        if isinstance(part, Prose):
            for name, text in _by_heading(part, title):
                _add(sections, name, _prose(text, file))
        else:
            num_questions += 1
            _add(sections, "", _question(part, next(states), num_questions, file))
    return render_page(title, sections, created_at=created_at)


def _title(parts: Sequence[Prose | Question], file: ReportFile) -> str:
    """The first heading of the highest level above all questions, or the project's name."""
    first = parts[0] if parts else None
    if isinstance(first, Prose):
        lines = first.text.split("\n")
        found = [
            found for line, code in zip(lines, in_code(lines), strict=True) if not code and (found := heading(line))
        ]
        title = next((found.text for found in found if found.level == 1), "")
        if title:
            return title
    return f"Report of {file.root.name or 'a project'}"


def _summary(checked: ReportCheck) -> Section:
    answered = sum(1 for answer in checked.answers if answer.num_words or answer.num_images)
    violations = [problem for problem in checked.all_problems if problem.is_violation]
    if not checked.answers:
        verdict = Verdict("neutral", "This text has no questions.")
    elif violations:
        kept = sum(answer.verdict == "ok" for answer in checked.answers)
        verdict = Verdict("bad", f"{kept} of {len(checked.answers)} answers keep the limits that the report states.")
    else:
        verdict = Verdict("good", f"All {len(checked.answers)} answers keep the limits that the report states.")
    figures = [
        KeyFigure("Questions answered", f"{answered}", f"of {len(checked.answers)}"),
        KeyFigure("Words", f"{sum(answer.num_words for answer in checked.answers):,}", "in all answers"),
        KeyFigure("Pictures", f"{sum(answer.num_images for answer in checked.answers)}", "in figures/"),
    ]
    if checked.num_boxes:
        figures.append(KeyFigure("Checklist", f"{checked.num_ticked}", f"of {checked.num_boxes} boxes ticked"))
    return Section("", (verdict, KeyFigures(tuple(figures))))


def _contents(questions: Sequence[Question], checked: ReportCheck) -> Section:
    rows = []
    for place, (question, answer) in enumerate(zip(questions, checked.answers, strict=True), 1):
        good = answer.verdict == "ok"
        mark = f'<span class="{"good" if good else "bad"}" aria-hidden="true">{"✓" if good else "!"}</span>'
        rows.append(
            f'<li>{mark}<a href="#question-{place}">{escape(_listed(question))}</a>'
            + ("</li>" if good else f'<span class="bad">{escape(answer.verdict)}</span></li>')
        )
    style = f"<style>\n{_style()}</style>"
    listed = f'<ul class="questions">{"".join(rows)}</ul>' if rows else ""
    return Section("Questions" if rows else "", (Markup(style + listed),))


def _listed(question: Question) -> str:
    """A question's number and title, or the beginning of what it asks: a list of numbers helps nobody."""
    words = question.title or " ".join(re.sub(r"[*_`>#]+", "", _asked(question)).split())
    first = re.match(r".*?[.?!](?=\s|$)", words)
    short = first[0] if first and len(first[0]) <= _MAX_LISTED else words
    if len(short) > _MAX_LISTED:
        short = short[:_MAX_LISTED].rpartition(" ")[0].rstrip(" ,;:") + "\u00a0…"
    return f"{question.label}. {short}" if question.label and short else short or _name(question)


def _style() -> str:
    return resources.files("loopline.report").joinpath("report.css").read_text(encoding="utf-8")


def _by_heading(part: Prose, title: str) -> list[tuple[str, str]]:
    """A prose's text by its headings of the first two levels (or bold, as from a word processor): heading and text."""
    lines = part.text.split("\n")
    pieces: list[tuple[str, list[str]]] = [("", [])]
    for line, code in zip(lines, in_code(lines), strict=True):
        found = None if code or line.lstrip().startswith(">") else heading(line)
        if found and found.level in (1, 2, 7):
            pieces.append(("" if found.text == title else found.text, []))
        else:
            pieces[-1][1].append(line)
    return [(name, "\n".join(text)) for name, text in pieces if name or "".join(text).strip()]


def _add(sections: list[Section], name: str, html: str) -> None:
    """Appends HTML to the last section, or to a new one where it has a name that an address can hold and none has."""
    anchors = {section.anchor for section in sections}
    new = Section(name, (Markup(html),))
    if name and new.anchor and new.anchor not in anchors and not new.anchor.startswith("question-"):
        sections.append(new)
        return
    # The page's own summary and list of questions take no prose.
    if len(sections) == 2:
        sections.append(Section("Introduction", ()))
    named = f"<h3>{escape(name)}</h3>\n{html}" if name else html
    last = sections[-1]
    sections[-1] = Section(last.heading, (*last.blocks, Markup(named)))


def _prose(text: str, file: ReportFile) -> str:
    ticks = read_ticks(text)
    boxes = ""
    if len(ticks) > 1:
        done = sum(tick.is_ticked for tick in ticks)
        label = f"{done} of {len(ticks)} ticked"
        boxes = (
            f'<p class="boxes"><progress value="{done}" max="{len(ticks)}" aria-label="{label}"></progress>'
            f"<span>{label}</span></p>"
        )
    kind = "prose columns" if len(ticks) > _LONG_CHECKLIST else "prose"
    return f'{boxes}<div class="{kind}">{_html(text, file, level=3)}</div>'


def _question(question: Question, answer: AnswerCheck, place: int, file: ReportFile) -> str:
    body = _html(question.answer, file) if question.answer else '<p class="missing">No answer yet.</p>'
    return (
        f'<article class="question" aria-labelledby="question-{place}">'
        f'<h3 id="question-{place}">{escape(_name(question))}</h3>'
        f'<div class="prompt">{_html(_asked(question), file)}</div>'
        f'<p class="state">{_state(answer)}</p>'
        f'<div class="answer">{body}</div></article>'
    )


def _asked(question: Question) -> str:
    """A prompt without its example and its length, which the line below states; bold, as all of it will be."""
    from loopline.report.answers import paragraphs
    from loopline.report.limits import LENGTH

    parts = paragraphs(question.prompt.split("\n"))
    example = next((index for index, part in enumerate(parts) if part.is_example), len(parts))
    kept = [" ".join(part.lines) for part in parts[:example] if not LENGTH.match(part.text.lstrip("*_( "))]
    return re.sub(r"\*\*|__", "", "\n\n".join(kept))


def _state(answer: AnswerCheck) -> str:
    found = [number(answer.num_words, "word") + (f" (asked: {answer.words})" if answer.words else "")]
    if answer.images or answer.num_images:
        found.append(number(answer.num_images, "picture") + (f" (asked: {answer.images})" if answer.images else ""))
    problems = [
        f'<span class="{"bad" if problem.is_violation else "note"}">{escape(_shown(problem))}</span>'
        for problem in answer.problems
    ]
    return " · ".join([escape(" · ".join(found)), *(problems or ['<span class="good">✓ as asked</span>'])])


def _shown(problem: Problem) -> str:
    """What is wrong, in a few words: limit and found number stand beside it."""
    return problem.sentence if problem.rule == "bad-image" else problem.rule.replace("-", " ")


def _name(question: Question) -> str:
    return question.title if not question.label else question.name + (f": {question.title}" if question.title else "")


def _html(text: str, file: ReportFile, *, level: int = 4) -> str:
    def picture(address: str) -> bytes | None:
        figure = find_figure(address, folder=file.folder, root=file.root)
        return _light(figure.path) if figure.path and figure.kind in ("ok", "sample") else None

    return safe_html(text, picture=picture, heading_level=level)


def _light(path: Path) -> bytes:
    """A picture's bytes, made smaller where they are many."""
    data = path.read_bytes()
    if len(data) <= _MAX_PICTURE_BYTES:
        return data
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG", "JPEG"]) as image:
        small = image.convert("RGB")
        small.thumbnail((_MAX_PICTURE_SIDE, _MAX_PICTURE_SIDE))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=85)
    return min(data, buffer.getvalue(), key=len)
