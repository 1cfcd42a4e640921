"""Workflows, the project's own and those of new projects: what GitHub would refuse, and what they ask of make."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.published import discovery, packaged, problems

ROOT = Path(__file__).parent.parent.parent
OWN = ROOT / ".github" / "workflows"
TEMPLATE = ROOT / "src" / "loopline" / "scaffold" / "template" / "project"
WORKFLOWS = sorted([*OWN.glob("*.yml"), *(TEMPLATE / ".github" / "workflows").glob("*.yml*")])
# Copier's names: `{% if cloud == 'gcp' %}deploy.yml{% endif %}`.
NAME = re.compile(r"[\w-]+\.ya?ml")


def loaded(path: Path) -> Any:
    """A YAML file's value; `on` is a word and not a truth."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - builds text only


def label(path: Path) -> str:
    """`template/deploy.yml`."""
    found = NAME.search(path.name)
    assert found is not None
    return f"{'own' if path.is_relative_to(OWN) else 'template'}/{found[0]}"


@pytest.fixture(scope="module")
def actionlint() -> str:
    """The program, as its package installs it."""
    found = shutil.which("actionlint", path=str(Path(sys.executable).parent)) or shutil.which("actionlint")
    if found is None:
        pytest.skip("actionlint is not installed")
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=label)
def test_a_workflow_passes_actionlint(path: Path, actionlint: str) -> None:
    """Syntax, contexts, expressions, inputs of known actions."""
    done = subprocess.run([actionlint, "-no-color", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", WORKFLOWS, ids=label)
def test_a_workflow_is_what_github_publishes(path: Path) -> None:
    """By the schema of schemastore.org that check-jsonschema brings."""
    value = loaded(path)
    # Everything is text here; the schema wants numbers and truths where YAML has them.
    typed = yaml.safe_load(path.read_text(encoding="utf-8"))
    typed["on"] = typed.pop(True, value["on"])
    assert problems(typed, packaged("github-workflows")) == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=label)
def test_a_workflow_may_little_and_trusts_commits(path: Path) -> None:
    """Rights are named, none by default; actions are pinned by digest; no key files; a longest time for each job."""
    text, value = path.read_text(encoding="utf-8"), loaded(path)
    assert value["permissions"] == {"contents": "read"}
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), f"{action} is not pinned"
    assert "credentials_json" not in text
    assert "secrets." not in text
    assert all("timeout-minutes" in job for job in value["jobs"].values())


def targets(makefile: Path) -> set[str]:
    """The targets of a Makefile."""
    return set(re.findall(r"^([a-z-]+):", makefile.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=label)
def test_steps_are_targets_of_make(path: Path) -> None:
    """What runs on GitHub runs here too: each command of a step is one that the Makefile has."""
    known = targets(ROOT / "Makefile" if path.is_relative_to(OWN) else TEMPLATE / "Makefile.jinja")
    asked = set()
    for job in loaded(path)["jobs"].values():
        for step in job["steps"]:
            for words in re.findall(r"\bmake ((?:[a-z][a-z-]*\s?)+)", step.get("run", "")):
                asked |= set(words.split())
    assert asked <= known, f"unknown to make: {sorted(asked - known)}"


def test_cloud_build_is_what_google_publishes() -> None:
    """The file for Cloud Build, by Google's description of a build and by the published schema."""
    path = next(TEMPLATE.glob("*cloudbuild.yaml*"))
    build = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert problems(build, discovery("cloudbuild.v1", "Build")) == []
    assert problems(build, packaged("cloudbuild")) == []


def test_scripts_of_workflows_parse() -> None:
    """The shell reads each without running it."""
    scripts = sorted((TEMPLATE / ".github" / "scripts").glob("*.sh"))
    assert len(scripts) >= 5
    for script in scripts:
        subprocess.run(["bash", "-n", str(script)], check=True)
        assert "set -euo pipefail" in script.read_text(encoding="utf-8")
