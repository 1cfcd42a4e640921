"""A project's own ticks are found, matched and compared."""

from __future__ import annotations

import pytest

from loopline.audit import ITEMS, ItemRule, audit, find_checklist, score
from loopline.audit.agreement import agreement
from loopline.audit.rule import FindingRule
from loopline.core.records.audit import Agreement, Evidence, Verdict
from loopline.core.store import digest_bytes
from loopline.repository import read_texts

LINES = """\
* [x] Create a git repository
* [ ] Create the initial file structure using cookiecutter
* [x] Used Hydra to load the configurations
* [x] Use Weights & Biases to log training progress
* [x] Use profiling to optimize your code
* [ ] Calculate the coverage
* [x] Get some continuous integration running
* [X] Get some continuous integration running
* [ ] Load test your application
* [x] Make sure that all team members have write access
* [ ] Something else entirely
"""
SERVED = {
    "src/leaves/train.py": "import hydra\n\n@hydra.main()\ndef main(cfg):\n    print(cfg)\n",
    "tests/locustfile.py": "from locust import HttpUser\nclass Visitor(HttpUser): pass\n",
    "codecov.yml": "comment: false\n",
}


def test_ticks_are_compared_item_by_item() -> None:
    """Agreed, over-claimed, under-claimed; what files cannot tell is not judged."""
    result = audit(read_texts(SERVED | {"reports/README.md": LINES}))
    assert result.checklist == "reports/README.md"
    found = {item.item: (item.ticked, item.agreement) for item in result.items if item.ticked is not None}
    assert found == {
        "git_repo": (True, "over-claimed"),
        "cookiecutter": (False, "under-claimed"),
        "hydra": (True, "agreed"),
        "wandb": (True, "over-claimed"),
        "profiling": (True, "over-claimed"),
        "coverage": (False, "under-claimed"),
        "ci": (True, "over-claimed"),
        "load_test": (False, "under-claimed"),
        "write_access": (True, "cannot be told"),
    }
    assert result.commit is None
    assert not result.changed
    assert 0 < (score(result) or 0) < 1


@pytest.mark.parametrize(
    ("verdict", "is_ticked", "expected"),
    [
        ("done", True, "agreed"),
        ("done", False, "under-claimed"),
        ("partial", True, "over-claimed"),
        ("partial", False, "under-claimed"),
        ("not found", True, "over-claimed"),
        ("not found", False, "agreed"),
        ("cannot be seen", True, "cannot be told"),
        ("cannot be seen", False, "cannot be told"),
    ],
)
def test_agreement_of_every_verdict(verdict: Verdict, is_ticked: bool, expected: Agreement) -> None:
    """A half agrees with neither tick."""
    assert agreement(verdict, is_ticked=is_ticked, is_checkable=True) == expected
    assert agreement(verdict, is_ticked=is_ticked, is_checkable=False) == "cannot be told"


def test_the_reports_own_list_is_preferred() -> None:
    """Over an untouched copy, a list of instructions for tools, and one of other things."""
    untouched = LINES.replace("[x]", "[ ]").replace("[X]", "[ ]")
    texts = {"checklist.md": untouched, ".github/agents/a.md": LINES, "TODO.md": "* [x] Buy milk\n"}
    own = find_checklist(read_texts(texts | {"reports/README.md": LINES}), ITEMS)
    assert own is not None
    assert own.path == "reports/README.md"
    only = find_checklist(read_texts(texts), ITEMS)
    assert only is not None
    assert only.path == "checklist.md"
    assert find_checklist(read_texts({"TODO.md": "* [x] Buy milk\n"}), ITEMS) is None


def test_findings_and_unreadable_files_are_told() -> None:
    """A finding carries its rule's severity and fix, a file that was left out its reason."""
    rule = FindingRule(
        id="own",
        category="Test",
        title="A title.",
        looks_for="Broken files.",
        why="Because.",
        fix="Mend it.",
        severity="warning",
        good={},
        bad={"a.py": "("},
        check=lambda repository: [Evidence(path=path, sentence="Broken.") for path in repository.files],
    )
    item = next(item for item in ITEMS if item.id == "uploaded")
    result = audit(read_texts({"a.py": "(\n"}), items=(item,), findings=(rule,))
    assert [(finding.rule, finding.severity, finding.fix) for finding in result.findings] == [
        ("own", "warning", "Mend it.")
    ]
    assert [(evidence.path, evidence.sentence) for evidence in result.unreadable] == [
        ("a.py", "Left out: no Python: '(' was never closed on line 1.")
    ]
    assert score(result) is None


def test_commands_are_shown_without_what_they_hold() -> None:
    """A key in a command is hidden, before the sentence is cut."""
    key = digest_bytes(b"leaves")[:40]
    item = next(item for item in ITEMS if item.id == "pep8")
    command = f"flake8 src && export WANDB_API_KEY={key} && echo {'word ' * 60}"
    (evidence,) = audit(read_texts({"Makefile": f"lint:\n\t{command}\n"}), items=(item,)).items[0].evidence
    assert "flake8 src" in evidence.sentence
    assert key[:6] not in evidence.sentence
    assert len(evidence.sentence) <= 241


def test_items_can_be_chosen() -> None:
    """Only what is asked for is judged."""
    rules: tuple[ItemRule, ...] = ITEMS[:2]
    assert [item.item for item in audit(read_texts({}), items=rules).items] == [rule.id for rule in rules]
