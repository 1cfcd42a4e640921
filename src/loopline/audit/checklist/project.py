"""Items about the project as a whole: its repository, its structure, its people, its report."""

from __future__ import annotations

import re

from loopline.audit.rule import ItemRule, Judgement, cannot_be_seen, done, not_found, partial
from loopline.audit.traces import named
from loopline.core.records.audit import Evidence
from loopline.repository import History, Repository

THEME = "Project"
_README = {"README.md": "# Leaves\n"}
_HISTORY = History(num_commits=42, num_authors=3)
# What a project's structure is made of, each with the files that show it.
_PARTS = {
    "a package": r"^(src/)?[^/.]+/(.+/)?[^/]+\.py$",
    "tests": r"(^|/)tests?/",
    "containers": r"(^|/)docker\w*/|\.dockerfile$|(^|/)Dockerfile",
    "documentation": r"^docs?/",
    "tasks": r"^(Makefile|tasks\.py|justfile|tox\.ini|noxfile\.py)$",
    "settings of the package": r"^(pyproject\.toml|setup\.(py|cfg))$",
    "configuration": r"^((src/)?[^/]+/)?conf\w*/",
    "models": r"^models/",
    "notebooks": r"^notebooks?/",
    "reports": r"^reports?/",
}
_ENOUGH_PARTS = 5
_DIAGRAM = r"(architect\w*|overview|mlops?[_ -]?(pipeline|diagram)|system[_ -]?(design|diagram)|pipeline)[^/]*\."
_PICTURE = r"(png|jpe?g|svg|gif|webp|drawio|pdf)"
_ASKS_FOR_DIAGRAM = re.compile(r"architectur\w* (of|diagram|over)|overall architecture|system diagram", re.IGNORECASE)
_IMAGE = re.compile(r"!\[[^\]]*\]\(\s*\S|<img\s[^>]*?src\s*=", re.IGNORECASE)


def _check_git(repository: Repository) -> Judgement:
    count = repository.history.num_commits
    if count:
        return done(Evidence(sentence=f"The history has {count:,} commit{'s' if count > 1 else ''}."))
    return not_found(Evidence(sentence="There is no git repository, or no commit in it."))


def _check_authors(repository: Repository) -> Judgement:
    count = repository.history.num_authors
    return cannot_be_seen(*([Evidence(sentence=f"{count} addresses wrote commits.")] if count > 1 else []))


def _check_structure(repository: Repository) -> Judgement:
    found = {part: paths[0] for part, pattern in _PARTS.items() if (paths := named(repository, pattern))}
    evidence = [Evidence(path=path, sentence=f"Has {part}.") for part, path in found.items()]
    if "a package" in found and len(found) >= _ENOUGH_PARTS:
        return done(*evidence)
    return partial(*evidence) if len(found) > 1 else not_found()


def _check_uploaded(repository: Repository) -> Judgement:
    num_modules = len(repository.python)
    if repository.history.num_commits and num_modules:
        return done(Evidence(sentence=f"The newest commit holds {num_modules} Python files."))
    return cannot_be_seen()


def _check_presentation(repository: Repository) -> Judgement:
    paths = named(
        repository, r"(presentation|slides|pitch|poster)[^/]*\.(pdf|pptx?|key|odp|md|html)$|\.(pptx?|key|odp)$"
    )
    return done(*(Evidence(path=path, sentence="A presentation.") for path in paths[:1])) if paths else cannot_be_seen()


def _check_diagram(repository: Repository) -> Judgement:
    """An image where the report is asked for the architecture, a drawing by its name, or one written in Mermaid."""
    for path in repository.own_paths:
        if path.lower().endswith(".md") and (line := _answered_by_image(repository, path)):
            return done(Evidence(path=path, line=line, sentence="The question for the architecture has a figure."))
    for path in named(repository, rf"(^|/)[^/]*{_DIAGRAM}{_PICTURE}$"):
        if not path.endswith("figures/overview.png"):  # the template's own sample
            return done(Evidence(path=path, sentence="A drawing of the architecture."))
    for path in repository.own_paths:
        if path.lower().endswith((".md", ".mmd")) and re.search(
            r"^\s*```mermaid|^graph (TD|LR)", repository.text(path) or "", re.M
        ):
            return done(Evidence(path=path, sentence="A diagram in Mermaid."))
    return not_found()


def _answered_by_image(repository: Repository, path: str) -> int | None:
    """The line of an image between a question for the architecture and the next heading."""
    is_asked = False
    for number, line in enumerate((repository.text(path) or "").splitlines(), 1):
        asks = bool(_ASKS_FOR_DIAGRAM.search(line)) and not re.match(r"\s*([-*+]|\d+\.)\s", line)
        if re.match(r"#{1,6}\s|\*\*Question \d", line):
            is_asked = asks
        elif asks:
            is_asked = True
        elif is_asked and not line.lstrip().startswith(">") and _IMAGE.search(line):
            return number
    return None


def _only_people_know(*, id: str, asks: str, wording: str, why: str, fix: str) -> ItemRule:  # noqa: A002 - the field
    """An item that no file can tell."""
    return ItemRule(
        id=id,
        theme=THEME,
        asks=asks,
        wording=wording,
        looks_for="Nothing: no file can tell.",
        why=why,
        fix=fix,
        good=_README,
        bad=_README,
        is_checkable=False,
        check=lambda _: cannot_be_seen(),
    )


RULES = (
    ItemRule(
        id="git_repo",
        theme=THEME,
        asks="The project is a git repository.",
        wording=r"create a git repositor",
        looks_for="At least one commit.",
        why="Without history nobody can tell what changed when, or go back.",
        fix="git init, git add, git commit.",
        good=_README,
        bad=_README,
        good_history=_HISTORY,
        check=_check_git,
    ),
    ItemRule(
        id="write_access",
        theme=THEME,
        asks="Everybody in the team can push.",
        wording=r"write access",
        looks_for="Nothing certain: the number of addresses that wrote commits is shown.",
        why="A project that one person can push to has one author.",
        fix="Invite the team in the repository's settings.",
        good=_README,
        bad=_README,
        is_checkable=False,
        check=_check_authors,
    ),
    ItemRule(
        id="cookiecutter",
        theme=THEME,
        asks="Files stand where a template for such projects puts them.",
        wording=r"cookiecutter",
        looks_for=f"A package and at least {_ENOUGH_PARTS - 1} of: {', '.join(list(_PARTS)[1:])}.",
        why="Whoever knows one such project finds their way in the next.",
        fix="Start from a cookiecutter template, or move tests, containers, documentation and models into own folders.",
        good={
            "src/leaves/model.py": "",
            "tests/test_model.py": "",
            "dockerfiles/train.dockerfile": "FROM python:3.12\n",
            "docs/index.md": "# Leaves\n",
            "pyproject.toml": "",
        },
        bad={"train.py": "", "model.py": "", "README.md": ""},
        check=_check_structure,
    ),
    _only_people_know(
        id="revisit",
        asks="The team looked back at its first description of the project.",
        wording=r"revisit your initial project",
        why="A plan is a guess; the difference to the result is what was learnt.",
        fix="Compare the description with the result, in the report.",
    ),
    _only_people_know(
        id="group_understanding",
        asks="Everybody in the team understands all parts.",
        wording=r"understanding about all parts",
        why="A part that one person understands is a part that nobody can mend when they are ill.",
        fix="Review each other's changes.",
    ),
    ItemRule(
        id="presentation",
        theme=THEME,
        asks="There is a presentation of the project.",
        wording=r"presentation explaining",
        looks_for="A file of slides, or one called presentation, slides, pitch or poster.",
        why="A talk forces one to say what matters.",
        fix="Add the slides as a PDF.",
        good={"reports/presentation.pdf": "slides"},
        bad=_README,
        is_checkable=False,
        check=_check_presentation,
    ),
    ItemRule(
        id="uploaded",
        theme=THEME,
        asks="All code is in the repository.",
        wording=r"uploaded all your code",
        looks_for="Commits, and Python files in the newest one.",
        why="Code on somebody's disk is lost with it.",
        fix="git add, git commit, git push.",
        good={"src/leaves/model.py": "import torch\n"},
        bad=_README,
        good_history=_HISTORY,
        check=_check_uploaded,
    ),
    ItemRule(
        id="arch_diagram",
        theme=THEME,
        asks="A diagram shows the architecture of the whole system.",
        wording=r"architectural diagram",
        looks_for=(
            "A figure in the answer to a report's question for the architecture, a picture by its name, or Mermaid."
        ),
        why="One picture tells a newcomer which services there are and what talks to what.",
        fix="Draw it, or let `loopline report fill` draw one from what it finds.",
        good={"reports/README.md": "### Question 25\n\n> **Describe the overall architecture.**\n\n![it](it.png)\n"},
        bad={
            "reports/README.md": "### Question 25\n\n> **Describe the overall architecture.**\n\nWe use two services.\n"
        },
        check=_check_diagram,
    ),
)
