"""Workflows, the project's own and those of new projects: what GitHub would refuse, and what they ask of make."""

from __future__ import annotations

import os
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


GH = """#!/bin/sh
# gh as it is documented: a refusal's body goes where the answer would go, also with --jq (cli/cli issue 5209).
echo "$*" >> "$GH_SAID"
case "$*" in
  *"contents/history.txt?ref=benchmarks"*)
    test -f "$GH_SAID.history" || { echo '{"message":"Not Found","status":"404"}'; exit 1; }
    echo 0123abc ;;
  *"git/blobs/0123abc"*) base64 "$GH_SAID.history" ;;
  *"--method PUT"*) base64 --decode build/history.base64 > "$GH_SAID.history" 2>/dev/null || true ;;
esac
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a job on GitHub sees it, with gh's own seam: a program of that name on the path."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gh").write_text(GH)
    (programs / "gh").chmod(0o755)
    folder = tmp_path / "repository"
    (folder / "build" / "diff").mkdir(parents=True)
    variables = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "GH_SAID": str(tmp_path / "said"),
        "GITHUB_REPOSITORY": "potato/lab",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_SHA": "f" * 40,
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return folder


def said(script: str, *arguments: str, folder: Path) -> list[str]:
    """What a script asks gh for, a line a call; raises where the script fails."""
    path = TEMPLATE / ".github" / "scripts" / script
    subprocess.run(["bash", str(path), *arguments], cwd=folder, check=True, capture_output=True)
    return Path(os.environ["GH_SAID"]).read_text(encoding="utf-8").splitlines()


def test_figures_of_every_night_are_kept(repository: Path) -> None:
    """Also in the first night, when there is no history yet; the second adds a line and forgets none."""
    history = Path(f"{os.environ['GH_SAID']}.history")
    for night, figure in enumerate(("9.1 ms", "8.7 ms"), 1):
        (repository / "build" / "bench.txt").write_text(f"float32 {figure}\n")
        assert "--method PUT" in said("keep-bench.sh", folder=repository)[-1]
        text = history.read_text()
        assert text.count("f" * 40) == night
        assert figure in text
    assert "9.1 ms" in history.read_text()


def test_a_difference_is_commented_with_its_picture(repository: Path) -> None:
    """The picture goes to a branch of its own, and the comment points there."""
    subprocess.run(["git", "init", "--quiet"], cwd=repository, check=True)
    names = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *names, "commit", "--quiet", "--allow-empty", "-m", "x"], cwd=repository, check=True)
    (repository / "build/diff/diff.md").write_text("![what changed](diff.png)\n")
    (repository / "build/diff/diff.png").write_bytes(b"png")
    lines = said("comment-diff.sh", "7", folder=repository)
    assert lines[-1] == "pr comment 7 --body-file build/diff/diff.md"
    text = (repository / "build/diff/diff.md").read_text()
    assert re.fullmatch(
        r"!\[what changed\]\(https://github.com/potato/lab/blob/pictures/7-\w{12}\.png\?raw=true\)\n", text
    )


def test_a_load_and_a_promotion_are_told(repository: Path) -> None:
    """Locust's columns by their places; a bundle by its name."""
    head = "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min,Max,Size,Requests/s,"
    head += "Failures/s,50%,66%,75%,80%,90%,95%,98%,99%"
    (repository / "build/load_stats.csv").write_text(f"{head}\nPOST,/predict,90,0,4,5,1,9,3,30.1,0,1,2,3,4,5,6,7,8\n")
    assert "commits/ffff" in said("comment-load.sh", folder=repository)[-1]
    summary = Path(os.environ["GITHUB_STEP_SUMMARY"]).read_text()
    assert "Name,Request Count,Failure Count,Median Response Time,Average Response Time,Requests/s,90%,98%" in summary
    (repository / "workspace/bundles/tiny-0123456789ab").mkdir(parents=True)
    line = said("tell.sh", "model-registered", "0123456789ab", folder=repository)[-1]
    assert line.endswith("-f event_type=model-registered -F client_payload[bundle]=tiny-0123456789ab")


def test_every_event_that_a_workflow_waits_for_is_told() -> None:
    """`make publish` starts the workflows of the registry and of deployments."""
    told = set(re.findall(r"tell\.sh ([\w-]+)", (TEMPLATE / "Makefile.jinja").read_text(encoding="utf-8")))
    texts = [path.read_text(encoding="utf-8") for path in WORKFLOWS]
    assert {found for text in texts for found in re.findall(r"types: \[(model-[\w-]+)\]", text)} == told
