"""`train`: from overrides to a run with checkpoints, or on with one that was interrupted.

Lightning takes seconds to import, so it is, with `fit`, once the configuration and the data are known to be in order.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from loopline.core import store
from loopline.core.errors import ConfigError, StateError
from loopline.core.records import Run, RunStatus
from loopline.core.stopping import StopRequest, stop_signals
from loopline.core.tables import load
from loopline.core.workspace import Workspace
from loopline.runs import RunFolder, find_run, flat, resume_run, start_run
from loopline.snapshots import find_snapshot, open_snapshot
from loopline.tracking import open_tracker
from loopline.training.compose import as_yaml, compose
from loopline.training.config import TrainConfig, checked
from loopline.training.job import Job, open_job
from loopline.training.metrics_log import MetricsLog
from loopline.training.ranks import other_ranks

if TYPE_CHECKING:
    from loopline.training.modules.module import TrainingModule

_FIT = "loopline.training.fitting:fit"
_Fit = Callable[[Path, Job, MetricsLog, StopRequest], tuple[dict[str, float], int]]


def train(
    overrides: Sequence[str] = (),
    *,
    workspace: Workspace | None = None,
    resume: str | None = None,
    config_dir: Path | None = None,
) -> Run:
    """Trains what the overrides describe, or goes on with the run `resume`, to the bit as if it had never stopped.

    Writes `workspace`/runs/RUN_ID: run.json, config.yaml, signature.json, metrics.jsonl, checkpoints/last.ckpt and
    best.ckpt. Raises `ConfigError` and `UnknownName` before anything is written; `StateError` for a diverging loss, for
    a run that is completed or in use, and for overrides that differ from the resumed run's; `KeyboardInterrupt` after
    Ctrl-C or SIGTERM, with the run saved and marked interrupted.
    """
    workspace = workspace or Workspace.default()
    with stop_signals() as stop:
        if resume is None:
            config = compose(overrides, config_dir=config_dir)
            job = open_job(config, open_snapshot(config.data.name, workspace), workspace)
            plain = config.model_dump(mode="json")
            device = _device(config)
            # Lightning may be missing, which is said before anything is written; so below.
            load(_FIT)
            with start_run(
                workspace, kind="train", config=plain, dataset=job.dataset, overrides=overrides, device=device
            ) as run:
                return _compute(run, job, stop)
        record = find_run(resume, workspace)
        if overrides:
            _refuse_changes(record, compose(overrides, config_dir=config_dir))
        config = checked(record.config)
        # The very version, even where the dataset has a newer one by now.
        reference = f"{find_snapshot(config.data.name, workspace)}@{record.dataset.version}"
        job = open_job(config, open_snapshot(reference, workspace), workspace)
        load(_FIT)
        with resume_run(record.run_id, workspace) as run:
            return _compute(run, job, stop)


def _refuse_changes(record: Run, config: TrainConfig) -> None:
    before, after = flat(record.config), flat(config.model_dump(mode="json"))
    changed = [
        f"{key} was {before.get(key)} and is {after.get(key)}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    if changed:
        raise StateError(
            f"run '{record.run_id}' can only be resumed as it was configured; {'; '.join(changed)}.",
            next_command=f"loopline train --resume {record.run_id}",
        )


def _compute(run: RunFolder, job: Job, stop: StopRequest) -> Run:
    """Everything inside a run: files that describe it, data, tracker, and the training itself."""
    config = job.config
    store.write_text(run.path / "config.yaml", as_yaml(config))
    kind: type[TrainingModule] = load(config.task.module)
    signature = job.signature(num_outputs=kind.num_outputs(job), postprocess=kind.postprocess(job))
    store.write_record(run.path / "signature.json", signature)
    for name, data in job.files.items():
        store.write_bytes(run.path / "files" / name, data)
    tracker = open_tracker(config.tracking, run, job.workspace)
    status: RunStatus = "failed"
    try:
        fit: _Fit = load(_FIT)
        with other_ranks(run.path, job.workspace, config.trainer.devices):
            metrics, num_steps = fit(run.path, job, MetricsLog(run, tracker), stop)
        for path in _results(run.path):
            run.add_artifact(path, path.suffix.removeprefix("."))
        record = run.complete(metrics=metrics, num_steps=num_steps)
        status = record.status
        for path in _results(run.path):
            # Weights stay where they are: a tracker is for what one looks at.
            if path.suffix != ".ckpt":
                tracker.log_artifact(path)
        tracker.log_artifact(run.path / "run.json")
    except (KeyboardInterrupt, SystemExit):
        status = "interrupted"
        # Lightning turns the one into the other.
        raise KeyboardInterrupt from None
    finally:
        tracker.finish(status)
    return record


def _results(folder: Path) -> list[Path]:
    names = ("config.yaml", "signature.json", "metrics.jsonl", "packages.txt", "code.diff")
    paths = [folder / name for name in names] + sorted((folder / "checkpoints").glob("*.ckpt"))
    return [path for path in paths if path.exists()]


def _device(config: TrainConfig) -> str:
    """The device that Lightning will take, in words; raises `ConfigError` where there are not as many as configured."""
    chosen, num_devices = config.trainer.accelerator, config.trainer.devices
    times = f"{num_devices} × " if num_devices > 1 else ""
    if chosen in ("auto", "gpu") and torch.cuda.is_available():
        if num_devices > torch.cuda.device_count():
            raise ConfigError(
                f"trainer.devices={num_devices} given; this machine has {torch.cuda.device_count()} GPUs."
            )
        return times + torch.cuda.get_device_name(0)
    if chosen in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        if num_devices > 1:
            raise ConfigError(f"trainer.devices={num_devices} given; 'mps' is one device.")
        return "mps"
    return f"{times}cpu ({platform.machine()})"
