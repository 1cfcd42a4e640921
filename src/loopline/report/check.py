"""Holds a report's answers against the limits that the report itself states."""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

from pydantic import Field

from loopline.core.records.record import Record
from loopline.report.count import Counted, count
from loopline.report.document import DRAFT_NOTE, Question, Range, Report
from loopline.report.figures import Figure, find_figure
from loopline.report.finding import ReportFile
from loopline.report.parse import parse_report
from loopline.repository import read_ticks

Rule = Literal[
    "no-answer",
    "placeholder-left",
    "draft-left",
    "too-few-words",
    "too-many-words",
    "too-few-images",
    "too-many-images",
    "bad-image",
    "question-repeated",
    "question-missing",
]


class Problem(Record):
    """What is wrong at one line of a report; a violation fails the check, a remark does not."""

    rule: Rule
    line: int = Field(ge=1)
    sentence: str = Field(min_length=1)
    is_violation: bool


class AnswerCheck(Record):
    """One question's limits in words, what its answer has, and what is wrong with it.

    `line` is the question's, `answer_line` where the answer begins or belongs. `words` and `images` are None where the
    question states no limit.
    """

    question: str
    line: int = Field(ge=1)
    answer_line: int = Field(ge=1)
    words: str | None
    num_words: int = Field(ge=0)
    images: str | None
    num_images: int = Field(ge=0)
    problems: tuple[Problem, ...]

    @property
    def verdict(self) -> str:
        """`ok`, or the first thing that is wrong."""
        first = next((problem for problem in self.problems if problem.is_violation), None)
        return "ok" if first is None else first.rule.replace("-", " ")


class ReportCheck(Record):
    """A report held against its own limits; `problems` are those of no one answer."""

    file: str
    passed: bool
    num_boxes: int = Field(ge=0)
    num_ticked: int = Field(ge=0)
    answers: tuple[AnswerCheck, ...]
    problems: tuple[Problem, ...]

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """Every problem in the order of lines."""
        found = [*self.problems, *(problem for answer in self.answers for problem in answer.problems)]
        return tuple(sorted(found, key=lambda problem: problem.line))


def check_report(file: ReportFile) -> ReportCheck:
    """Checks every answer of a report. Reads pictures below the project's root only; never raises on any text."""
    report = parse_report(file.text)
    answers = tuple(_check_answer(question, file) for question in report.questions)
    problems = (*_repeated(report), *_missing(report))
    ticks = read_ticks(file.text)
    everything = [*problems, *(problem for answer in answers for problem in answer.problems)]
    return ReportCheck(
        file=file.name,
        passed=not any(problem.is_violation for problem in everything),
        num_boxes=len(ticks),
        num_ticked=sum(tick.is_ticked for tick in ticks),
        answers=answers,
        problems=problems,
    )


def _check_answer(question: Question, file: ReportFile) -> AnswerCheck:
    counted = count(question.answer)
    figures = [find_figure(image.address, folder=file.folder, root=file.root) for image in counted.images]
    # The same picture twice is one picture.
    num_images = len({figure.path for figure in figures if figure.kind == "ok"})
    limits = question.limits
    problems = [
        *_answer_problems(question, counted),
        *_length_problems(question, counted),
        *_image_problems(question, figures, num_images),
    ]
    return AnswerCheck(
        question=question.label or question.title,
        line=question.line,
        answer_line=question.answer_line,
        words=None if limits.words is None else str(limits.words),
        num_words=counted.num_words,
        images=None if limits.images is None else str(limits.images),
        num_images=num_images,
        problems=tuple(problems),
    )


def _answer_problems(question: Question, counted: Counted) -> list[Problem]:
    line = question.answer_line
    may_be_empty = question.limits.words is not None and question.limits.words.low == 0
    if question.has_placeholder:
        sentence = f"{question.name} still has the template's placeholder."
        return [Problem(rule="placeholder-left", line=line, sentence=sentence, is_violation=True)]
    if DRAFT_NOTE in question.answer:
        sentence = f"{question.name} is a draft that nobody has made theirs."
        return [Problem(rule="draft-left", line=line, sentence=sentence, is_violation=True)]
    if not question.answer and not may_be_empty:
        return [Problem(rule="no-answer", line=line, sentence=f"{question.name} has no answer.", is_violation=True)]
    if question.answer and not counted.num_words and not counted.images:
        sentence = f"{question.name}'s answer has nothing to read or to see."
        return [Problem(rule="no-answer", line=line, sentence=sentence, is_violation=not may_be_empty)]
    return []


def _length_problems(question: Question, counted: Counted) -> list[Problem]:
    words = question.limits.words
    if words is None or counted.num_words in words or not question.answer:
        return []
    few = counted.num_words < words.low
    sentence = f"{question.name} has {_number(counted.num_words, 'word')}; expected {words}."
    rule: Rule = "too-few-words" if few else "too-many-words"
    return [Problem(rule=rule, line=question.answer_line, sentence=sentence, is_violation=True)]


def _image_problems(question: Question, figures: list[Figure], num_images: int) -> list[Problem]:
    asked: Range | None = question.limits.images
    found = [
        # What a reader cannot see is wrong anywhere; what only does not count matters where pictures are asked for.
        Problem(
            rule="bad-image",
            line=question.answer_line,
            sentence=f"{question.name}: {figure.problem}",
            is_violation=figure.kind == "missing",
        )
        for figure in figures
        if figure.kind != "ok"
    ]
    if asked is not None and num_images not in asked and question.answer:
        few = num_images < asked.low
        sentence = f"{question.name} has {_number(num_images, 'picture')} that count; expected {asked}."
        rule: Rule = "too-few-images" if few else "too-many-images"
        found.append(Problem(rule=rule, line=question.answer_line, sentence=sentence, is_violation=True))
    return found


def _repeated(report: Report) -> list[Problem]:
    counts = Counter(question.label for question in report.questions if question.label)
    seen: set[str] = set()
    found = []
    for question in report.questions:
        if question.label in seen and counts[question.label] > 1:
            sentence = f"{question.name} stands here a second time."
            found.append(Problem(rule="question-repeated", line=question.line, sentence=sentence, is_violation=True))
        seen.add(question.label)
    return found


def _missing(report: Report) -> list[Problem]:
    """Numbers left out between the first and the last; whether questions are missing at the end, none can say."""
    numbers = [int(match[0]) if (match := re.match(r"\d+", item.label)) else 0 for item in report.questions]
    present = set(numbers)
    found = []
    last = 0
    for question, here in zip(report.questions, numbers, strict=True):
        for number in range(last + 1, here):
            if number not in present:
                sentence = f"Question {number} is missing before question {question.label}."
                found.append(Problem(rule="question-missing", line=question.line, sentence=sentence, is_violation=True))
        last = max(last, here)
    return found


def _number(value: int, noun: str) -> str:
    return f"{value} {noun}" if value == 1 else f"{value} {noun}s"
