"""Runs are files: how they begin, end, are found, listed and compared."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from loopline.core.errors import InputError, IntegrityError, StateError, UnknownName
from loopline.core.records import DatasetRef, Run
from loopline.core.store import digest_bytes, digest_file, is_locked
from loopline.core.workspace import Workspace
from loopline.runs import (
    capture_code,
    capture_environment,
    differences,
    find_run,
    flat,
    list_runs,
    resume_run,
    run_folder,
    start_run,
)

DATASET = DatasetRef(name="digits", version="0" * 64)


def _complete(workspace: Workspace, config: dict[str, object]) -> Run:
    with start_run(workspace, kind="train", config=config, dataset=DATASET) as run:
        return run.complete(metrics={"validation/accuracy": 0.5}, num_steps=3)


def test_a_run_is_on_disk_while_it_runs(workspace: Workspace) -> None:
    """From the first second: run.json says running, the lock is held, the packages are listed."""
    with start_run(workspace, kind="train", config={"name": "mine", "seed": 7}, dataset=DATASET) as run:
        seen = find_run(run.record.run_id, workspace)
        assert (seen.status, seen.seed, seen.ended_at) == ("running", 7, None)
        assert "-mine-" in seen.run_id
        assert is_locked(run.path / "run.lock")
        assert digest_file(run.path / "packages.txt") == seen.environment.packages_digest
        assert "pydantic==" in (run.path / "packages.txt").read_text(encoding="utf-8")
        with pytest.raises(StateError, match="is in use by another process"), resume_run(seen.run_id, workspace):
            pass
        (run.path / "note.txt").write_text("hello", encoding="utf-8")
        for _ in range(2):
            artifact = run.add_artifact(run.path / "note.txt", "text")
        done = run.complete(metrics={"validation/accuracy": 0.5}, num_steps=3)
    assert not is_locked(run.path / "run.lock")
    assert find_run("latest", workspace) == done
    assert done.artifacts == (artifact,)
    assert (artifact.path, artifact.digest, artifact.num_bytes) == ("note.txt", digest_bytes(b"hello"), 5)
    assert done.duration_s is not None
    assert run_folder(done, workspace) == run_folder(done.run_id, workspace) == run.path


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (KeyboardInterrupt(), "interrupted", None),
        (SystemExit(1), "interrupted", None),
        (StateError("no more.", next_command="rest"), "failed", "no more."),
        (ZeroDivisionError("by zero"), "failed", "ZeroDivisionError: by zero"),
    ],
)
def test_how_a_run_ends(workspace: Workspace, error: BaseException, status: str, sentence: str | None) -> None:
    """An interruption and an error are noted with their end, and go on up; the run can be taken up again."""
    with (
        pytest.raises(type(error)),
        start_run(workspace, kind="train", config={}, dataset=DATASET) as run,
    ):
        raise error
    ended = find_run("latest", workspace)
    assert (ended.status, ended.error) == (status, sentence)
    assert ended.ended_at is not None
    with resume_run(ended.run_id, workspace) as again:
        assert (again.record.status, again.record.num_resumes, again.record.error) == ("running", 1, None)
        again.complete(metrics={})
    assert find_run(run.record.run_id, workspace).status == "completed"


def test_a_run_whose_process_is_gone_is_interrupted(workspace: Workspace) -> None:
    """Says running, holds no lock."""
    run = _complete(workspace, {})
    lost = run.model_copy(update={"status": "running", "ended_at": None})
    (run_folder(run, workspace) / "run.json").write_text(lost.model_dump_json(), encoding="utf-8")
    assert find_run("latest", workspace).status == "interrupted"
    assert [found.status for found in list_runs(workspace)] == ["interrupted"]


def test_completed_run_is_not_taken_up_again(workspace: Workspace) -> None:
    """Nothing is left to do in it."""
    run = _complete(workspace, {})
    with pytest.raises(StateError, match="is completed"), resume_run(run.run_id, workspace):
        pass


def test_runs_are_found_by_what_is_unique(workspace: Workspace) -> None:
    """By id, by a part of it, by `latest`; what fits several or none is said, with what there is."""
    with pytest.raises(UnknownName, match="run 'latest' does not exist; there is none yet"):
        find_run("latest", workspace)
    first, second = _complete(workspace, {"name": "one"}), _complete(workspace, {"name": "two"})
    assert [run.run_id for run in list_runs(workspace)] == [second.run_id, first.run_id]
    assert find_run("latest", workspace) == second
    assert find_run("one", workspace) == first
    assert find_run(first.run_id, workspace) == first
    with pytest.raises(InputError, match="stands for 2 runs"):
        find_run("-", workspace)
    with pytest.raises(UnknownName, match="run 'three' does not exist"):
        find_run("three", workspace)
    with pytest.raises(UnknownName):
        find_run("", workspace)


def test_a_folder_without_a_record_is_no_run(workspace: Workspace) -> None:
    """A process killed before its first record leaves a folder that nobody trips over; a damaged record is said."""
    (workspace.runs / "empty").mkdir(parents=True)
    assert list_runs(workspace) == []
    (workspace.runs / "empty" / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(IntegrityError, match="is not JSON"):
        list_runs(workspace)


def test_differences_name_what_changed(workspace: Workspace) -> None:
    """Nested settings by dotted key; nothing else."""
    runs = [_complete(workspace, {"name": "one", "model": {"width": width, "depth": 1}}) for width in (8, 16)]
    assert differences(*runs) == {"config.model.width": (8, 16)}
    assert flat({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "a.c": {}, "d": [1]}


def _git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments], check=True)


def test_code_is_the_commit_and_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clean tree has a commit and no diff; a changed line stands in the diff; a new file is named in it."""
    repository, out = tmp_path / "repository", tmp_path / "out"
    repository.mkdir()
    out.mkdir()
    monkeypatch.chdir(repository)
    _git("init", "--quiet", ".")
    assert capture_code(out).commit is None
    (repository / "a.py").write_text("a = 1\n", encoding="utf-8")
    _git("add", "a.py")
    _git("commit", "--quiet", "-m", "one")
    clean = capture_code(out)
    assert (len(clean.commit or ""), clean.dirty, clean.diff_digest) == (40, False, None)
    assert not (out / "code.diff").exists()
    (repository / "a.py").write_text("a = 2\n", encoding="utf-8")
    (repository / "b.py").write_text("b = 1\n", encoding="utf-8")
    dirty = capture_code(out)
    diff = (out / "code.diff").read_text(encoding="utf-8")
    assert dirty.commit == clean.commit
    assert dirty.diff_digest == digest_bytes(diff.encode())
    assert "+a = 2" in diff
    assert "# untracked: b.py" in diff


def test_no_git_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git is not installed the commit is unknown."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert capture_code(tmp_path).commit is None


def test_environment_is_the_same_twice(tmp_path: Path) -> None:
    """The digest of the packages does not depend on the order in which they are found."""
    assert capture_environment(tmp_path, device="cpu") == capture_environment(tmp_path, device="cpu")
