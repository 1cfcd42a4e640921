"""`audit_project` and the command: what is chosen, what is accepted, what fails; keys stay hidden in every form."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from loopline.audit.exceptions import read_settings, unused
from loopline.audit.findings import FINDINGS
from loopline.audit.project import audit_project
from loopline.cli.entry import cli
from loopline.core.errors import ConfigError, UnknownName
from loopline.repository import open_repository, read_texts

KEY = "".join(random.Random(3).choices("0123456789abcdef", k=40))  # noqa: S311 - it opens nothing


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a key in a workflow's command and in a Dockerfile."""
    (tmp_path / "Dockerfile").write_text(f"FROM python:3.12\nENV WANDB_API_KEY={KEY}\nRUN pip install ruff\n")
    workflow = tmp_path / ".github" / "workflows" / "lint.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n"
        f"      - run: ruff check . && wandb login {KEY}\n"
    )
    for arguments in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True)
    return tmp_path


def test_only_keeps_what_is_named(project: Path) -> None:
    """Ids, themes and categories, in any case; another name is refused with what there is."""
    assert {finding.rule for finding in audit_project(project, only=["WANDB-key"]).findings} == {"wandb-key"}
    assert audit_project(project, only=["secrets"]).items == ()
    assert audit_project(project, only=["kaggle-key"]).findings == ()
    with pytest.raises(UnknownName, match=r"'wandb-keys' does not exist.*Did you mean 'wandb-key'"):
        audit_project(project, only=["wandb-keys"])


def test_an_accepted_finding_keeps_its_reason(project: Path) -> None:
    """An exception covers a rule's findings in the files that its pattern matches, and no others."""
    (project / "loopline-audit.yaml").write_text(
        "exceptions:\n  - rule: wandb-key\n    path: .github/*\n    reason: a key of the tests, revoked\n"
        "  - rule: kaggle-key\n    reason: there was one once\n"
    )
    subprocess.run(["git", "-C", project, "add", "."], check=True)
    audit = audit_project(project, only=["secrets"])
    accepted = {finding.evidence.path: finding.accepted for finding in audit.findings}
    assert accepted == {".github/workflows/lint.yml": "a key of the tests, revoked", "Dockerfile": None}
    settings = read_settings(open_repository(project), [rule.id for rule in FINDINGS])
    assert [one.rule for one in unused(audit, settings.exceptions)] == ["kaggle-key"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("exceptions: [{rule: wandb-kee, reason: long enough}]", "Did you mean 'wandb-key'"),
        ("exceptions: [{rule: wandb-key, reason: short}]", "reason: 'short' given"),
        ("exception: []", "unknown key 'loopline-audit.yaml.exception'"),
        ("exceptions: [", "cannot be read"),
        ("[]", "holds no mapping"),
    ],
)
def test_wrong_exceptions_are_refused(text: str, sentence: str) -> None:
    """A file that does not say what it means stops the audit."""
    with pytest.raises(ConfigError if "kee" not in text else UnknownName, match=sentence):
        read_settings(read_texts({"loopline-audit.yaml": text}), [rule.id for rule in FINDINGS])


def test_the_command_writes_every_form_and_shows_no_key(project: Path, tmp_path: Path) -> None:
    """Tables, JSON, SARIF, Markdown, page and badge; the key is in none of them, quoted commands included."""
    forms = {"sarif": "a.sarif", "markdown": "a.md", "html": "a.html", "badge": "a.svg"}
    arguments = [word for name, file in forms.items() for word in (f"--{name}", str(tmp_path / "out" / file))]
    tables = CliRunner().invoke(cli, ["audit", str(project), *arguments])
    assert tables.exit_code == 3, tables.exception
    printed = CliRunner().invoke(cli, ["audit", str(project), "--json", "--fail-on", "never"])
    assert printed.exit_code == 0
    record = json.loads(printed.output)
    quoted = [line["sentence"] for item in record["items"] for line in item["evidence"]]
    assert any("wandb login •••" in sentence for sentence in quoted)
    texts = [tables.output, printed.output, *((tmp_path / "out" / file).read_text("utf-8") for file in forms.values())]
    # Compared like this, because a failing `in` would print the key.
    assert [KEY[:8] in text for text in texts] == [False] * 6
    assert " errors" in texts[-1]


def test_fail_on_decides_the_exit_code(tmp_path: Path) -> None:
    """A project without errors passes by default."""
    (tmp_path / "a.txt").write_text("nothing\n")
    assert CliRunner().invoke(cli, ["audit", str(tmp_path), "--only", "secrets"]).exit_code == 0
    assert CliRunner().invoke(cli, ["audit", str(tmp_path), "--only", "secrets", "--fail-on", "note"]).exit_code == 0
