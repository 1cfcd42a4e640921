"""A new report: questions with their limits, and the checklist, in our own words or from a template that is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from loopline.core.errors import InputError, StateError
from loopline.core.store import write_text
from loopline.report.finding import DEFAULT, open_report
from loopline.report.parse import parse_report

_MAX_TITLE_CHARACTERS = 200


@dataclass(frozen=True)
class Box:
    """One line of a checklist: the theme under which it stands and what it asks."""

    theme: str
    asks: str


def new_report(
    folder: Path, *, title: str = "Project report", template: Path | None = None, checklist: Sequence[Box] = ()
) -> Path:
    """Writes `reports/README.md` and an empty `reports/figures` into a project's folder; gives the report's path.

    `template` is another Markdown file with questions, taken as it is without `title` and `checklist`. Raises
    `StateError` where a report stands already, `InputError` where the template has no question.
    """
    path = folder / DEFAULT
    if path.exists():
        raise StateError(f"'{path}' exists already.", next_command=f"loopline report check {path}")
    text = _own(title, checklist) if template is None else _given(template)
    write_text(path, text)
    figures = path.parent / "figures"
    figures.mkdir(exist_ok=True)
    keep = figures / ".gitkeep"
    if not any(figures.iterdir()):
        keep.touch()
    return path


def _own(title: str, checklist: Sequence[Box]) -> str:
    title = " ".join(title.split())
    if not title or len(title) > _MAX_TITLE_CHARACTERS:
        raise InputError(f"a title of {len(title)} characters; expected 1 to {_MAX_TITLE_CHARACTERS}.")
    text = resources.files("loopline.report").joinpath("template.md").read_text(encoding="utf-8")
    return text.replace("{checklist}", _boxes(checklist), 1).replace("{title}", title, 1)


def _boxes(checklist: Sequence[Box]) -> str:
    themes = dict.fromkeys(box.theme for box in checklist)
    parts = [
        "\n".join([f"### {theme}", "", *(f"* [ ] {box.asks}" for box in checklist if box.theme == theme)])
        for theme in themes
    ]
    return "\n\n".join(parts) or "* [ ] Everything that the project promised"


def _given(template: Path) -> str:
    file = open_report(template)
    if not parse_report(file.text).questions:
        raise InputError(f"template '{template}' has no question; expected headings such as '### Question 1'.")
    return file.text
