"""Drafts come from evidence, say so, and never replace what somebody wrote. The projects here are made up."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from loopline.audit import ITEMS, audit, match_ticks
from loopline.core.errors import InputError, StateError
from loopline.report import (
    Box,
    Filled,
    ReportFile,
    check_report,
    fill_report,
    new_report,
    open_report,
    parse_report,
    write_filled,
)
from loopline.report.drafts import TOPICS
from loopline.repository import open_repository, read_texts, read_ticks

BOXES = [Box(item.theme, item.asks) for item in ITEMS if item.wording is not None]
FILES = {
    "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\ndependencies = ["torch>=2", "fastapi"]\n[tool.ruff]\n',
    "src/shop/__init__.py": "",
    "src/shop/train.py": """import torch
import mlflow


def train() -> None:
    torch.manual_seed(1)
    mlflow.log_metric("val_loss", 0.1)
""",
    "src/shop/api.py": """from fastapi import FastAPI

from shop.train import train

app = FastAPI()


@app.get("/")
def root() -> str:
    return "ok"
""",
    "tests/test_train.py": """from shop.train import train


def test_train():
    train()


def test_again():
    train()
""",
    ".github/workflows/tests.yaml": """name: tests
on: [push, pull_request]
jobs:
  unit:
    runs-on: ${{ matrix.os }}
    strategy:
      matrix:
        os: [ubuntu-latest, macos-latest]
    steps:
      - run: ruff check .
      - run: pytest
""",
    "Dockerfile": 'FROM python:3.12-slim\nEXPOSE 8000\nCMD ["uvicorn", "shop.api:app"]\n',
    "Makefile": "train:\n\tpython -m shop.train\n",
    "coverage.json": json.dumps({"totals": {"percent_covered": 87.4}}),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project under git, with an empty report."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    new_report(tmp_path, title="The shop", checklist=BOXES)
    run = [
        "git",
        "-C",
        str(tmp_path),
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b.example",
        "-c",
        "commit.gpgsign=false",
    ]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Begin"], ["branch", "shelf"]):
        subprocess.run([*run, *command], check=True)
    return tmp_path


def fill(project: Path) -> Filled:
    repository = open_repository(project)
    return fill_report(open_report(project), repository, audit=audit(repository))


def answer(text: str, asked: str) -> str:
    """The answer to the question whose prompt has these words."""
    return next(item.answer for item in parse_report(text).questions if asked in " ".join(item.prompt.split()))


def test_a_new_report_has_questions_with_limits_and_the_checklist(project: Path) -> None:
    """Every question waits for its answer, and the audit knows every box again."""
    file = open_report(project)
    checked = check_report(file)
    assert file.text.startswith("# The shop\n")
    assert len(checked.answers) == 30
    assert sum(found.words is not None for found in checked.answers) > 20
    assert {found.verdict for found in checked.answers} == {"placeholder left"}
    assert checked.problems == ()
    wanted = {item.id for item in ITEMS if item.wording is not None}
    assert set(match_ticks(read_ticks(file.text), ITEMS)) == wanted


def test_a_report_is_never_written_over(project: Path) -> None:
    """The sentence says what to do with the one that is there."""
    with pytest.raises(StateError, match="exists already"):
        new_report(project)


def test_another_template_is_taken_as_it_is(project: Path, tmp_path: Path) -> None:
    """And refused where it asks nothing."""
    template = tmp_path / "template.md"
    template.write_text("# Mine\n\n### Question 1\n\nAnswer length: 5 words\n\n> Answer:\n")
    path = new_report(tmp_path / "other", template=template)
    assert path.read_text() == template.read_text()
    template.write_text("nothing")
    with pytest.raises(InputError, match="has no question"):
        new_report(tmp_path / "third", template=template)
    with pytest.raises(InputError, match="title of 0 characters"):
        new_report(tmp_path / "fourth", title=" ")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("manage dependencies", "`pyproject.toml` declares 2 packages. (`pyproject.toml`)"),
        ("structure of the repository", "`src/` holds 3 files, mostly `.py`. (`src`)"),
        ("How many tests", "The project has 2 test functions in 1 file. (`tests/test_train.py`)"),
        ("code coverage", "The tests cover 87% of the lines. (`coverage.json`)"),
        ("branches and pull requests", "There are 2 branches: main and shelf."),
        ("continuous integration", "`tests.yaml` runs `unit`, started by a push and a pull request."),
        ("configure experiments", "An experiment is run by `python -m shop.train`."),
        ("can be repeated", "The random seed is set in 1 place. (`src/shop/train.py:6`)"),
        ("experiment tracking", "The code logs `val_loss`."),
        ("use Docker", "`docker build -f Dockerfile -t app .`, then `docker run --rm -p 8000:8000 app`."),
        ("architecture", "![Architecture: "),
    ],
)
def test_drafts_say_what_files_show_and_where(project: Path, asked: str, expected: str) -> None:
    """Each is marked as a draft."""
    draft = answer(fill(project).text, asked)
    assert expected in draft
    assert "**Draft from evidence" in draft


def test_what_evidence_cannot_know_stays_a_question(project: Path) -> None:
    """Who did what, struggles, credits."""
    filled = fill(project)
    for asked in ("each member contribute", "What was hardest", "cost, in credits", "members of the group"):
        assert answer(filled.text, asked) == ""


def test_a_written_answer_is_kept_and_an_untouched_draft_is_made_anew(project: Path) -> None:
    """A draft that somebody changed is theirs."""
    path = project / "reports" / "README.md"
    path.write_text(path.read_text().replace("--- question 4 fill here ---", "We use pip."), newline="")
    write_filled(fill(project), open_report(project))
    assert answer(path.read_text(), "manage dependencies") == "We use pip."
    drafted = path.read_text()
    (project / "tests" / "test_train.py").write_text("def test_one():\n    pass\n")
    changed = fill(project)
    assert "1 test function in 1 file" in answer(changed.text, "How many tests")
    path.write_text(drafted.replace("The project has 2 test functions", "The project has two test functions"))
    assert "two test functions" in answer(fill(project).text, "How many tests")


def test_a_draft_fails_the_check_until_somebody_makes_it_theirs(project: Path) -> None:
    """Nobody hands in a draft unseen."""
    write_filled(fill(project), open_report(project))
    verdicts = {found.question: found.verdict for found in check_report(open_report(project)).answers}
    assert verdicts["4"] == "draft left"


def test_line_ends_and_mark_are_kept(project: Path) -> None:
    """A file from another system stays one."""
    path = project / "reports" / "README.md"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    write_filled(fill(project), open_report(project))
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf# The shop\r\n")
    assert data.count(b"\n") == data.count(b"\r\n")


def test_the_diagram_is_a_picture_twice(project: Path) -> None:
    """SVG that parses and PNG that opens, with the parts that were found."""
    figures = dict(fill(project).figures)
    root = ElementTree.fromstring(figures["architecture.svg"])  # noqa: S314 - our own text
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Check", "Continuous integration"} <= set(texts)
    write_filled(fill(project), open_report(project))
    with Image.open(project / "reports" / "figures" / "architecture.png") as image:
        assert image.size[0] > 400


def test_curves_come_from_mlflow_stores(project: Path) -> None:
    """From the SQLite store, else from the folders; a plot for each kind of metric."""
    folder = project / "mlruns" / "1" / "abcdef0123456789" / "metrics"
    folder.mkdir(parents=True)
    (folder / "train_loss").write_text("1700000000000 0.9 0\n1700000001000 0.5 1\n1 x 2\nrubbish\n")
    filled = fill(project)
    assert "metrics-loss.png" in dict(filled.figures)
    assert "The newest run with curves, `abcdef01`, tracked 1 metric: train_loss." in filled.text
    with sqlite3.connect(project / "mlflow.db") as store:
        store.execute("CREATE TABLE runs (run_uuid TEXT, start_time INTEGER)")
        store.execute("CREATE TABLE metrics (run_uuid TEXT, key TEXT, step INTEGER, value REAL, is_nan BOOLEAN)")
        store.execute("INSERT INTO runs VALUES ('feedc0de11', 1)")
        rows = [("feedc0de11", name, step, 1.0 / (step + 1), 0) for name in ("val/f1", "train/f1") for step in range(3)]
        store.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?)", rows)
    store.close()
    filled = fill(project)
    assert "`feedc0de`, tracked 2 metrics: train/f1 and val/f1." in filled.text
    assert "metrics-f1.png" in dict(filled.figures)
    (project / "mlflow.db").write_bytes(b"no database")
    assert "abcdef01" in fill(project).text


def test_each_topic_knows_its_question(project: Path) -> None:
    """Every topic is asked for in our own template."""
    found = fill(project)
    assert not found.kept
    assert set(found.drafted) >= {"4", "5", "6", "7", "8", "9", "11", "12", "13", "14", "15", "22", "28"}
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "### Question 1",
                "> How many tests?",
                "> Answer:",
                "Answer: x",
                "```",
                "**Question 2**",
                "How is docker used, in use?",
                "\r",
                "---",
            ]
        ),
        st.text(max_size=12),
    ),
    max_size=20,
).map("\n".join)
MADE_UP = read_texts(FILES)
AUDITED = audit(MADE_UP)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(TEXTS)
def test_no_text_makes_fill_raise(text: str) -> None:
    """And filling twice changes nothing more."""
    text = text.replace("\r", "\n")
    once = fill_report(ReportFile(Path("/nowhere/README.md"), Path("/nowhere"), text), MADE_UP, audit=AUDITED)
    again = ReportFile(Path("/nowhere/README.md"), Path("/nowhere"), once.text)
    assert fill_report(again, MADE_UP, audit=AUDITED).text == once.text
