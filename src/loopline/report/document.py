"""What a report consists of: prose and questions, in order, each with its place in the file."""

from __future__ import annotations

from dataclasses import dataclass

# What stands over every draft; while it does, an answer is nobody's.
DRAFT_NOTE = "**Draft from evidence: check every sentence, make it yours, and remove this line.**"


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both allowed; without `high` there is no upper end."""

    low: int
    high: int | None

    def __contains__(self, value: int) -> bool:
        return self.low <= value and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        if self.high is None:
            return f"at least {self.low}"
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


@dataclass(frozen=True)
class Limits:
    """What a question's own text asks of its answer; None where it asks nothing."""

    words: Range | None = None
    images: Range | None = None


@dataclass(frozen=True)
class Prose:
    """Markdown that belongs to no question: a title, a checklist, the head of a section; `line` is its first."""

    text: str
    line: int


@dataclass(frozen=True)
class Question:
    """One numbered question and its answer.

    `label` is the number as text (`14`, `3b`), `title` what the heading says after it, `section` the heading above,
    `prompt` and `answer` are Markdown without the quote's marks, the marker `Answer:`, dashes around and a placeholder.
    `slot` are the lines where an answer stands or belongs: the first and the one after the last, from 1.
    """

    label: str
    title: str
    section: str
    prompt: str
    limits: Limits
    answer: str
    line: int
    answer_line: int
    slot: tuple[int, int]
    has_placeholder: bool
    # What stands on the slot's first line and is not the answer's: the marker that an answer follows on its own line.
    slot_prefix: str = ""

    @property
    def name(self) -> str:
        """`Question 14`, as people call it."""
        return f"Question {self.label}"


@dataclass(frozen=True)
class Report:
    """A report's parts in order; `front_matter` is what stands between `---` lines at the very top."""

    front_matter: str
    parts: tuple[Prose | Question, ...]

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions in the order of the file."""
        return tuple(part for part in self.parts if isinstance(part, Question))
