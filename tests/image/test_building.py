"""Preparing is repeatable, engines are found or missed in a sentence, and a build gets what it should."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from loopline import containers
from loopline.bundle import read_bundle
from loopline.cli.entry import cli
from loopline.core.errors import ConfigError, InputError, StateError, UnknownName
from loopline.core.workspace import Workspace
from loopline.image import ImageOptions, build, prepare_context, unpack
from loopline.image.engines import ENGINES, find_engine
from loopline.image.locks import closure
from loopline.image.preparing import extensions_of, prepare, requirements_of

# An engine's own program, on PATH before any other: it writes down what it was told.
_ENGINE = """#!/bin/sh
echo "$@" >> "{told}"
case "$1 $2" in
  "version --format") echo 28.0 ;;
  "image inspect") [ "$5" = nothing ] && echo "no such image" >&2 && exit 1; echo 123456 ;;
  "build --file") exit {build_code} ;;
esac
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the words that a `docker` at the process edge was given."""
    return _install("docker", tmp_path, monkeypatch)


def _install(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, build_code: int = 0) -> Path:
    programs, told = tmp_path / "programs", tmp_path / "told"
    programs.mkdir()
    (programs / name).write_text(_ENGINE.format(told=told, build_code=build_code))
    (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return told


def test_preparing_twice_gives_equal_bytes(project: Path, bundle_folder: Path) -> None:
    """So that an engine's layers hold until something changes."""
    bundle = read_bundle(bundle_folder)

    def files() -> dict[str, bytes]:
        place = prepare("serve", project, platform="linux/amd64", bundle=bundle, folder=bundle_folder)
        return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}

    first = files()
    assert first == files()
    assert {"requirements.lock", "loopline/requirement.txt", "model/bundle.json"} <= set(first)
    assert any(name.endswith(".whl") for name in first)
    assert first["requirements.lock"].startswith(b"annotated-doc==")


def test_builds_of_torch_stand_alone(project: Path) -> None:
    """Without digests, for another base takes another build; what each needs beside it, pip finds."""
    (project / "pyproject.toml").write_text('[project]\nname = "pets"\ndependencies = ["torch"]\n')
    pins = "\n".join(f"{name}==1.0 --hash=sha256:abc" for name in sorted(closure(["torch"])))
    (project / "requirements.lock").write_text(pins)
    place = prepare("train", project, platform="linux/amd64", bundle=None, folder=None)
    assert (place / "requirements-torch.txt").read_text() == "torch==1.0\n"
    assert "sympy==1.0 --hash=sha256:abc\n" in (place / "requirements.lock").read_text()
    assert "torch==" not in (place / "requirements.lock").read_text()


def test_what_an_image_needs(project: Path, bundle_folder: Path) -> None:
    """What the project says, else its dependencies, else what the bundle's input needs."""
    bundle = read_bundle(bundle_folder)
    assert requirements_of("serve", project, bundle) == ["loopline[serve]"]
    texts = bundle.model_copy(update={"input_kind": "text"})
    assert requirements_of("serve", project, texts) == ["loopline[serve,text]"]
    assert requirements_of("train", project) == ["numpy", "pillow"]
    assert requirements_of("train", project / "nowhere") == ["loopline[train]"]
    settings = project / "pyproject.toml"
    settings.write_text('[tool.loopline.image]\nserve = ["loopline[serve]", "soundfile"]\n')
    assert requirements_of("serve", project, bundle) == ["loopline[serve]", "soundfile"]
    settings.write_text("[tool.loopline.image]\nsreve = []\n")
    with pytest.raises(ConfigError, match=r"unknown key 'tool.loopline.image.sreve'"):
        requirements_of("serve", project, bundle)
    settings.write_text("[tool")
    with pytest.raises(ConfigError, match="is no TOML"):
        requirements_of("serve", project, bundle)


def test_an_ignore_file_that_keeps_out_too_much_is_named(project: Path) -> None:
    (project / ".dockerignore").write_text("**\n!src\n")
    with pytest.raises(StateError, match=r"keeps out '\.image'.* Next: echo '!\.image' >> \.dockerignore"):
        prepare_context("train", project, ImageOptions(tag="pets"))


def test_a_build_is_told_all_it_needs(
    project: Path, bundle_folder: Path, workspace: Workspace, docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform, the labels' values, the names of the project, the secret as a file and never as a value."""
    pip = project / "pip.conf"
    pip.write_text("[global]\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(pip))
    monkeypatch.setenv("LOOPLINE_EXTEND", "network.own=pets.model:Own")
    options = ImageOptions(tag="pets:1", platform="linux/arm64", engine_arguments=("--network", "host"))
    built = containers.image("serve", options, model=str(bundle_folder), project=project, workspace=workspace)
    words = next(line for line in docker.read_text().splitlines() if line.startswith("build"))
    assert f"--file {project}/.image/serve/Dockerfile --tag pets:1 --platform linux/arm64" in words
    assert f"--build-arg BUNDLE={read_bundle(bundle_folder).digest}" in words
    assert "--build-arg REVISION=unknown" in words
    assert "--build-arg EXTEND=network.own=pets.model:Own" in words
    assert f"--secret id=pip,src={pip}" in words
    assert words.endswith(f"--network host {project}")
    assert (built.engine, built.image_bytes, built.tag) == ("docker", 123456, "pets:1")


def test_an_image_knows_the_projects_own_names(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this process, else those of the project's settings."""
    monkeypatch.delenv("LOOPLINE_EXTEND", raising=False)
    assert extensions_of(project) == ""
    (project / "pyproject.toml").write_text('[tool.loopline.image]\nextend = "network.own=pets.model:Own"\n')
    assert extensions_of(project) == "network.own=pets.model:Own"
    monkeypatch.setenv("LOOPLINE_EXTEND", "network.other=pets.model:Other")
    assert extensions_of(project) == "network.other=pets.model:Other"


def test_the_revision_is_the_commit(project: Path, docker: Path) -> None:
    """Marked where files differ from it."""
    for words in (
        ["init", "-q"],
        ["add", "src"],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", "-C", str(project), *words], check=True)
    options = ImageOptions(tag="pets")
    context = prepare_context("train", project, options)
    revision = build("train", context, options).revision
    (project / "src" / "pets" / "model.py").write_text("WIDTH = 4\n")
    assert len(revision) == 40
    assert build("train", context, options).revision == f"{revision}-dirty"


def test_a_build_that_fails_is_an_error(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command to repeat."""
    _install("docker", tmp_path, monkeypatch, build_code=7)
    options = ImageOptions(tag="pets")
    with pytest.raises(StateError, match="docker ended with exit code 7") as failed:
        build("train", prepare_context("train", project, options), options)
    assert str(failed.value.next_command).startswith("docker build --file")


def test_engines_are_found_in_their_order(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that works, or the one that is named; none is an error with what to do."""
    assert find_engine().name == "docker"
    assert find_engine("docker").name == "docker"
    with pytest.raises(UnknownName, match="engine 'dokcer' does not exist"):
        find_engine("dokcer")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StateError, match="none of docker, podman and buildah works here"):
        find_engine()
    with pytest.raises(StateError, match="no podman works here"):
        find_engine("podman")
    assert ENGINES["buildah"].image_bytes("pets") is None


def test_a_server_needs_a_model_and_training_none(workspace: Workspace) -> None:
    options = ImageOptions(tag="pets")
    with pytest.raises(InputError, match="an image to serve was asked for without a model"):
        containers.image_context("serve", options, workspace=workspace)
    with pytest.raises(InputError, match="an image to train was asked for with a model"):
        containers.image_context("train", options, model="pets@champion", workspace=workspace)


def test_an_image_that_is_not_there_is_named(docker: Path, tmp_path: Path) -> None:
    """The engine's words, and how to build one."""
    with pytest.raises(StateError, match=r"docker image inspect .* nothing' failed: no such image"):
        unpack("nothing", tmp_path / "root")


def test_the_command(
    project: Path, bundle_folder: Path, docker: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    """Prints without building, looks without building, builds."""
    monkeypatch.chdir(project)
    runner = CliRunner()

    def call(*words: str) -> str:
        result = runner.invoke(cli, ["image", *words], catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    assert call("serve", "--print").startswith("# syntax=docker/dockerfile:1")
    assert "nvidia/cuda" in call("train", "--print", "--accelerator", "cuda")
    assert not (project / ".image").exists()
    assert "nothing refused" in call("serve", str(bundle_folder), "--check")
    assert "build" not in (docker.read_text() if docker.exists() else "")
    assert json.loads(call("serve", str(bundle_folder), "--json"))["engine"] == "docker"
    assert call("train", "--tag", "pets:2").startswith("pets:2: built by docker for linux/amd64 in")
