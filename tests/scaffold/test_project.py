"""A new project is whole, scores what files can show, and takes later improvements without losing edits."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from loopline.audit.project import audit_project
from loopline.cli.entry import cli
from loopline.core.errors import InputError, StateError
from loopline.image import dockerfile
from loopline.project import new_project, update_project
from loopline.scaffold import template_repository
from loopline.scaffold.releases import TEMPLATE, write_release

# What files can show only of a project that runs in a cloud.
ELSEWHERE = {"gcp_bucket", "gcp_train", "deploy_cloud", "cloud_monitoring", "alerts", "drift_api"}


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    return subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project with every default; read only."""
    return new_project(tmp_path_factory.mktemp("new") / "pets")


def test_a_new_project_is_whole(pets: Path) -> None:
    """Code, settings, tests, workflows, images, docs, report, pins; one commit and nothing left over."""
    for name in (
        "src/pets/model.py",
        "conf/recipe/project.yaml",
        "tests/test_api.py",
        "tests/load/locustfile.py",
        ".github/workflows/tests.yml",
        "Dockerfile.train",
        "docs/index.md",
        "reports/README.md",
        "requirements.lock",
        "LICENSE",
        "Makefile",
        ".pre-commit-config.yaml",
    ):
        assert (pets / name).stat().st_size > 0, name
    assert git(pets, "status", "--porcelain") == ""
    assert git(pets, "log", "--format=%s") == "Begin from Loopline's template\n"
    assert (pets / "Dockerfile.serve").read_text() == dockerfile("serve")
    assert "loopline==" in (pets / "requirements.lock").read_text()
    assert f"PYTHON := {Path(sys.executable).as_posix()}" in (pets / "local.mk").read_text()


def test_its_audit_is_full(pets: Path) -> None:
    """Everything that files can show is done, but what only a cloud does; and there is no finding."""
    audit = audit_project(pets)
    open_items = {item.item for item in audit.items if item.verdict in ("partial", "not found")}
    assert open_items <= ELSEWHERE, open_items - ELSEWHERE
    assert audit.findings == ()


@pytest.mark.parametrize(
    "answers",
    [{}, {"task": "regression", "tracker": "wandb", "cloud": "gcp", "licence": "BSD-3-Clause"}, {"licence": "none"}],
)
def test_what_is_written_is_in_style(answers: dict[str, str], tmp_path: Path) -> None:
    """Whatever was answered: Ruff finds nothing, and nothing of the template's language is left."""
    folder = new_project(tmp_path / "my-pets", answers)
    ruff = [sys.executable, "-m", "ruff"]
    for words in (["check", "."], ["format", "--check", "."]):
        done = subprocess.run([*ruff, *words, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    for path in folder.rglob("*"):
        if path.is_file() and ".git" not in path.parts and ".github" not in path.parts and path.suffix != ".lock":
            assert "{{" not in path.read_text(encoding="utf-8"), path
    assert ("tool.loopline.cloud" in (folder / "pyproject.toml").read_text()) == (answers.get("cloud") == "gcp")


def test_names_and_places_that_cannot_be_are_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(StateError, match="is not empty; expected a new one"):
        new_project(tmp_path / "full")
    with pytest.raises(InputError, match="expected lower-case letters, digits and dashes"):
        new_project(tmp_path / "My Pets!")
    with pytest.raises(InputError, match="no name of a package"):
        new_project(tmp_path / "torch")
    with pytest.raises(InputError, match=r"data '.*nowhere' do not exist"):
        new_project(tmp_path / "pets", data=tmp_path / "nowhere")


def test_own_data_are_linked(tmp_path: Path, digits_folder: Path) -> None:
    """Where the Makefile looks for them, and git does not."""
    folder = new_project(tmp_path / "digits", data=digits_folder)
    assert (folder / "data" / "raw").resolve() == digits_folder
    assert git(folder, "status", "--porcelain", "--ignored").count("data/") == 1


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal nothing is asked; an update that has nothing to bring says so."""
    monkeypatch.chdir(tmp_path)
    begun = CliRunner().invoke(cli, ["new", "pets", "--licence", "none"], catch_exceptions=False)
    assert begun.output.endswith("next: cd pets && make train test serve\n")
    assert "All rights reserved" in (tmp_path / "pets" / "LICENSE").read_text()
    monkeypatch.chdir(tmp_path / "pets")
    updated = CliRunner().invoke(cli, ["update"], catch_exceptions=False)
    assert updated.output == "nothing to bring: the project is up to date.\n"
    pinned = CliRunner().invoke(cli, ["update", "--lock"], catch_exceptions=False)
    assert pinned.output == "requirements.lock: pinned what is installed.\n"


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path, Path], None]:
    """Makes `version` of a template the one that `new` and `update` know, with the releases before it."""

    def use(version: str, template: Path, releases: Path) -> None:
        def repository(place: Path, *, parts: Mapping[str, bytes]) -> Path:
            return template_repository(place, parts=parts, template=template, releases=releases, version=version)

        monkeypatch.setattr("loopline.scaffold.template_repository", repository)

    return use


def test_an_update_keeps_the_teams_edits(tmp_path: Path, versions: Callable[[str, Path, Path], None]) -> None:
    """A line that the team changed stays, a line that the template changed comes, a file that it added comes too."""
    releases, later = tmp_path / "releases.stream", tmp_path / "later"
    parts = {f"project/Dockerfile.{kind}": dockerfile(kind).encode() for kind in ("train", "serve")}
    versions("0.1.0", TEMPLATE, releases)
    folder = new_project(tmp_path / "pets")
    write_release(tmp_path / "work", parts=parts, releases=releases)
    own = folder / "src" / "pets" / "model.py"
    own.write_text(own.read_text().replace("default=16", "default=24"))
    (folder / "notes.md").write_text("ours\n")
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", "Widen the network")
    shutil.copytree(TEMPLATE, later)
    brought = later / "project" / "src" / "{{ package }}" / "model.py.jinja"
    brought.write_text(brought.read_text().replace("small enough for a laptop", "small enough for a telephone"))
    (later / "project" / "NEWS.md").write_text("new\n")
    versions("0.2.0", later, releases)
    changed = update_project(folder)
    assert sorted(changed) == [".copier-answers.yml", "NEWS.md", "src/pets/model.py"]
    assert "default=24" in own.read_text()
    assert "small enough for a telephone" in own.read_text()
    assert (folder / "notes.md").read_text() == "ours\n"
    assert "_commit: 0.2.0" in (folder / ".copier-answers.yml").read_text()


def test_an_update_needs_a_clean_project(pets: Path, tmp_path: Path) -> None:
    """Of ours, with everything committed."""
    with pytest.raises(StateError, match="came from no template"):
        update_project(tmp_path)
    folder = shutil.copytree(pets, tmp_path / "pets")
    (folder / "README.md").write_text("edited\n")
    with pytest.raises(StateError, match="Please commit or stash"):
        update_project(folder)


def test_equal_templates_make_equal_commits(tmp_path: Path) -> None:
    """So that a project's tag means the same on every machine."""
    commits = {git(template_repository(tmp_path / name, parts={}), "rev-parse", "HEAD") for name in ("a", "b")}
    assert len(commits) == 1
