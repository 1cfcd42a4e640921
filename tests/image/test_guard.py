"""Nothing goes to an engine that must not leave this machine; every refusal brings its line for `.dockerignore`."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from loopline import containers
from loopline.core.errors import GateRefused
from loopline.core.records import ContextProblem
from loopline.core.workspace import Workspace
from loopline.data import Options, snapshot
from loopline.image import Context, ImageOptions, guard
from loopline.image.guard import context_files, find_problems, refuse

KEY = "".join(random.Random(5).choices("0123456789abcdef", k=40))  # noqa: S311 - it opens nothing


def no_secrets(_path: str, _text: str) -> Iterable[tuple[int, str]]:
    return ()


def no_samples(_paths: Sequence[Path]) -> Iterable[Path]:
    return ()


def problems(folder: Path) -> list[ContextProblem]:
    """What is found in a folder that has no `.dockerignore`."""
    files = context_files(folder, dockerfile="Dockerfile")
    return find_problems(folder, files, secrets=no_secrets, samples=no_samples)


def write(folder: Path, name: str, text: str = "x") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_what_is_ignored_is_not_sent(project: Path) -> None:
    """As Docker reads the file: exceptions, and a file of one Dockerfile's own before the common one."""
    write(project, ".image/serve/requirements.lock")
    write(project, "notes/secret.txt")
    files = context_files(project, dockerfile="Dockerfile.serve")
    assert "notes/secret.txt" not in files
    assert {".image/serve/requirements.lock", "src/pets/model.py", "conf/recipe/pets.yaml"} <= set(files)
    write(project, "Dockerfile.serve.dockerignore", "src\n")
    assert "src/pets/model.py" not in context_files(project, dockerfile="Dockerfile.serve")


def test_history_data_and_checkpoints_are_found(tmp_path: Path) -> None:
    """A folder is one problem, however many files it holds; code about data is none."""
    for name in ("data/a.png", "data/b.png", ".git/config", "sub/.git/HEAD", "best.ckpt", "src/pets/data/load.py"):
        write(tmp_path, name)
    assert [(each.kind, each.path, each.ignore_line) for each in problems(tmp_path)] == [
        ("data", "best.ckpt", "**/*.ckpt"),
        ("data", "data/", "data"),
        ("history", ".git/", "**/.git"),
        ("history", "sub/.git/", "**/.git"),
    ]


def test_large_files_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_FILE_BYTES", 1000)
    write(tmp_path, "video.mp4", "x" * 1001)
    write(tmp_path, "page.html", "x" * 1000)
    assert [(each.kind, each.path) for each in problems(tmp_path)] == [("large", "video.mp4")]


def test_what_loopline_puts_there_is_known(tmp_path: Path) -> None:
    """The bundle's own files are no data."""
    write(tmp_path, ".image/serve/model/drift.npz")
    write(tmp_path, ".image/serve/model/data/x.parquet")
    assert problems(tmp_path) == []


def test_a_refusal_says_what_and_how_to_mend_it(tmp_path: Path) -> None:
    write(tmp_path, "data/a.png")
    with pytest.raises(GateRefused, match=r"'data/' is data or results\. Nothing was built") as refused:
        refuse(problems(tmp_path))
    assert refused.value.next_command == r"printf 'data\n' >> .dockerignore"
    refuse([])


def test_a_planted_key_stops_the_build(project: Path, bundle_folder: Path, workspace: Workspace) -> None:
    """Named by file and line, never shown; nothing was built."""
    write(project, "src/pets/settings.py", f'import wandb\n\nWANDB_API_KEY = "{KEY}"\n')
    with pytest.raises(GateRefused, match=r"'src/pets/settings\.py' holds a W&B API key in line 3") as refused:
        serve_context(project, bundle_folder, workspace)
    assert KEY not in str(refused.value)


def test_a_confidential_sample_stops_the_build(
    project: Path, bundle_folder: Path, workspace: Workspace, digits_folder: Path
) -> None:
    """Wherever it was copied to, and under whatever name."""
    snapshot(digits_folder, name="patients", options=Options(confidential=True), workspace=workspace)
    sample = next(digits_folder.rglob("*.png")).read_bytes()
    (project / "src" / "pets" / "logo.bin").write_bytes(b"header" + sample)
    with pytest.raises(GateRefused, match=r"logo\.bin' holds samples of a confidential snapshot"):
        serve_context(project, bundle_folder, workspace)


def test_a_clean_project_passes(project: Path, bundle_folder: Path, workspace: Workspace) -> None:
    """With the bundle, the pins and Loopline inside."""
    context = serve_context(project, bundle_folder, workspace)
    assert ".image/serve/model/bundle.json" in context.files
    assert ".image/serve/requirements.lock" in context.files
    assert context.num_bytes > 0


def serve_context(project: Path, bundle: Path, workspace: Workspace) -> Context:
    return containers.image_context(
        "serve", ImageOptions(tag="pets"), model=str(bundle), project=project, workspace=workspace
    )
