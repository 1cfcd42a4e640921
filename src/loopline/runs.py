"""Runs: what ran, with which code, data, configuration, environment and result. Files in a folder; no server.

runs/RUN_ID/
  run.json        the `Run` record, rewritten atomically from the first second to the last
  run.lock        held while the process lives; a run that says `running` with a free lock was killed
  code.diff       what differed from the commit, where anything did
  packages.txt    `name==version` of every installed distribution
and what the stage adds: signature.json, metrics.jsonl, checkpoints/ of a training run.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from loopline import __version__
from loopline.core import store
from loopline.core.errors import InputError, LooplineError, StateError, UnknownName
from loopline.core.records import Artifact, CodeState, DatasetRef, Environment, Run, RunKind, utc_now
from loopline.core.workspace import Workspace

RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"
LATEST = "latest"
# What a sweep tells the process that trains a trial: `SWEEP/NUMBER`. The run's id follows from it, so that the sweep
# finds the run again whatever happens to either process.
TRIAL_VARIABLE = "LOOPLINE_TRIAL"
# `loopline runs` probes locks and frees them at once; a start waits that out.
_LOCK_TIMEOUT_S = 2.0


class RunFolder:
    """The live handle of a run that this process computes; `record` is what stands in run.json now."""

    def __init__(self, path: Path, record: Run) -> None:
        self.path = path
        self.record = record

    def update(self, changes: Mapping[str, Any]) -> Run:
        """Replaces fields of the record, checks it as a whole and writes run.json."""
        self.record = Run.model_validate({**self.record.model_dump(), **changes})
        store.write_record(self.path / RUN_FILE, self.record)
        return self.record

    def add_artifact(self, path: Path, kind: str) -> Artifact:
        """Lists a file inside the run's folder with its digest; a file that is listed already is listed anew."""
        name = path.relative_to(self.path).as_posix()
        artifact = Artifact(path=name, kind=kind, digest=store.digest_file(path), num_bytes=path.stat().st_size)
        others = [other for other in self.record.artifacts if other.path != name]
        self.update({"artifacts": (*others, artifact)})
        return artifact

    def complete(self, *, metrics: Mapping[str, float], num_steps: int = 0) -> Run:
        """Marks the run completed, with its final metrics."""
        return self.update(
            {"status": "completed", "ended_at": utc_now(), "metrics": dict(metrics), "num_steps": num_steps}
        )


@contextmanager
def start_run(
    workspace: Workspace,
    *,
    kind: RunKind,
    config: Mapping[str, Any],
    dataset: DatasetRef,
    overrides: Sequence[str] = (),
    device: str = "cpu",
) -> Iterator[RunFolder]:
    """Makes a run's folder, holds its lock, and leaves run.json telling how it ended.

    The id ends in the configuration's `name`, else the dataset's; the seed is the configuration's, else 0. In the
    process of a trial, a training run is that trial's. Inside, call `complete`. On Ctrl-C (or whatever raises
    `KeyboardInterrupt`) the run is marked interrupted, on an error failed with its sentence; both go on up.
    """
    started_at = utc_now()
    run_id = f"{started_at:%Y%m%d-%H%M%S}-{config.get('name', dataset.name)}-{secrets.token_hex(2)}"
    sweep, _, number = os.environ.get(TRIAL_VARIABLE, "").partition("/")
    if is_trial := bool(sweep) and kind == "train":
        kind, run_id = "trial", trial_run_id(sweep, int(number))
    path = workspace.runs / run_id
    # The folder of a trial is there already where its process was killed before it wrote the first record.
    path.mkdir(parents=True, exist_ok=is_trial)
    with _locked(path):
        if (path / RUN_FILE).exists():
            raise StateError(f"run '{run_id}' exists already.", next_command=f"loopline train --resume {run_id}")
        plain = dict(config)
        record = Run(
            run_id=run_id,
            kind=kind,
            status="running",
            config=plain,
            config_digest=store.digest_json(plain),
            overrides=tuple(overrides),
            dataset=dataset,
            code=capture_code(path),
            environment=capture_environment(path, device=device),
            seed=int(config.get("seed", 0)),
            started_at=started_at,
            parent=sweep if is_trial else None,
        )
        run = RunFolder(path, record)
        store.write_record(path / RUN_FILE, record)
        with _ending(run):
            yield run


@contextmanager
def resume_run(run_id: str, workspace: Workspace) -> Iterator[RunFolder]:
    """Goes on with a run that was interrupted or failed; ends as `start_run` does.

    Raises `StateError` for a run that is completed or that another process computes.
    """
    path = run_folder(run_id, workspace)
    with _locked(path):
        record = store.read_record(Run, path / RUN_FILE)
        if record.status == "completed":
            raise StateError(
                f"run '{run_id}' is completed; only interrupted and failed runs can be resumed.",
                next_command=f"loopline runs show {run_id}",
            )
        run = RunFolder(path, record)
        run.update({"status": "running", "ended_at": None, "error": None, "num_resumes": record.num_resumes + 1})
        with _ending(run):
            yield run


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with store.lock(path / "run.lock", holder=f"run '{path.name}'", timeout_s=_LOCK_TIMEOUT_S):
        yield


@contextmanager
def _ending(run: RunFolder) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        run.update({"status": "interrupted", "ended_at": utc_now()})
        raise
    except Exception as error:
        sentence = error.message if isinstance(error, LooplineError) else f"{type(error).__name__}: {error}"
        run.update({"status": "failed", "ended_at": utc_now(), "error": sentence})
        raise


def trial_run_id(sweep: str, number: int) -> str:
    """The id of the run that a trial of a sweep makes."""
    return f"{sweep}-{number:03d}"


def run_folder(run: Run | str, workspace: Workspace) -> Path:
    """The folder of a run."""
    return workspace.runs / (run if isinstance(run, str) else run.run_id)


def list_runs(workspace: Workspace) -> list[Run]:
    """All runs, newest first; one whose process is gone without a word is given as interrupted."""
    return sorted(map(read_run, _folders(workspace)), key=lambda run: run.started_at, reverse=True)


def find_run(reference: str, workspace: Workspace) -> Run:
    """The run of an id, of a prefix or part that only one id has, or `latest`; raises `UnknownName` or `InputError`."""
    folders = {folder.name: folder for folder in _folders(workspace)}
    if reference == LATEST and folders:
        return list_runs(workspace)[0]
    matches = [reference] if reference in folders else [name for name in folders if reference and reference in name]
    if len(matches) > 1:
        raise InputError(
            f"'{reference}' stands for {len(matches)} runs: {', '.join(matches[:5])}; expected one.",
            next_command="loopline runs",
        )
    if not matches:
        raise UnknownName("run", reference, folders, next_command="loopline runs" if folders else "loopline train")
    return read_run(folders[matches[0]])


def _folders(workspace: Workspace) -> list[Path]:
    # A process killed between making the folder and writing its first record leaves one without run.json.
    return [file.parent for file in workspace.runs.glob(f"*/{RUN_FILE}")]


def read_run(folder: Path) -> Run:
    """The run in a folder; where its process is gone without a word, it is given as interrupted."""
    record = store.read_record(Run, folder / RUN_FILE)
    if record.status == "running" and not store.is_locked(folder / "run.lock"):
        return record.model_copy(update={"status": "interrupted"})
    return record


def metric_history(folder: Path, name: str) -> list[float]:
    """Every value of a metric that a run has kept so far, in order; readable while the run goes on."""
    path = folder / METRICS_FILE
    # The last line may be half written.
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    rows = (json.loads(line) for line in lines)
    return [row[name] for row in rows if name in row]


def capture_code(folder: Path) -> CodeState:
    """The commit of the repository around the current folder; what differs from it goes to `folder`/code.diff.

    The diff covers tracked files; new ones are named in it. Without git, or outside a repository, the commit is None.
    """
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return CodeState(loopline_version=__version__)
    untracked = _git("ls-files", "--others", "--exclude-standard") or b""
    named = b"".join(b"# untracked: " + line + b"\n" for line in untracked.splitlines())
    diff = (_git("diff", "HEAD", "--binary") or b"") + named
    if diff:
        store.write_bytes(folder / "code.diff", diff)
    return CodeState(
        commit=commit.decode().strip(),
        dirty=bool(diff),
        diff_digest=store.digest_bytes(diff) if diff else None,
        loopline_version=__version__,
    )


def _git(*arguments: str) -> bytes | None:
    """What git prints, or None where it is not installed or the current folder is in no repository with a commit."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=True)  # noqa: S603, S607 - fixed words
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return done.stdout


def capture_environment(folder: Path, *, device: str) -> Environment:
    """Python, platform, device and installed packages; the packages' lines go to `folder`/packages.txt."""
    found = {f"{item.name}=={item.version}" for item in metadata.distributions() if item.name}
    packages = "".join(f"{line}\n" for line in sorted(found, key=str.lower))
    store.write_text(folder / "packages.txt", packages)
    return Environment(
        python=sys.version.split()[0],
        platform=platform.platform(),
        device=device,
        num_cpus=os.cpu_count() or 1,
        packages_digest=store.digest_bytes(packages.encode()),
    )


def flat(config: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """A nested configuration as dotted keys: `{"model": {"width": 32}}` becomes `{"model.width": 32}`."""
    rows: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            rows |= flat(value, prefix=f"{prefix}{key}.")
        else:
            rows[f"{prefix}{key}"] = value
    return rows


def differences(a: Run, b: Run) -> dict[str, tuple[Any, Any]]:
    """What distinguishes two runs, by dotted name: configuration, data, code and environment."""
    parts = {"config", "dataset", "code", "environment", "seed"}
    facts = [flat(run.model_dump(include=parts, mode="json")) for run in (a, b)]
    return {
        key: (facts[0].get(key), facts[1].get(key))
        for key in sorted({*facts[0], *facts[1]})
        if facts[0].get(key) != facts[1].get(key)
    }
