"""`train`: from overrides to a run with checkpoints, or on with one that was interrupted."""

from __future__ import annotations

import logging
import math
import platform
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, RichProgressBar
from lightning.pytorch.strategies import DDPStrategy

from loopline.core import store
from loopline.core.errors import ConfigError, StateError
from loopline.core.records import Run, RunStatus
from loopline.core.stopping import StopRequest, stop_signals
from loopline.core.tables import load
from loopline.core.workspace import Workspace
from loopline.networks import read_checkpoint
from loopline.runs import RunFolder, find_run, flat, resume_run, start_run
from loopline.snapshots import find_snapshot, open_snapshot
from loopline.tracking import open_tracker
from loopline.training.checkpoints import Checkpoints, seed_everything
from loopline.training.compose import as_yaml, compose
from loopline.training.config import TrainConfig, checked
from loopline.training.job import Job, open_job
from loopline.training.metrics_log import MetricsLog
from loopline.training.modules.module import TrainingModule
from loopline.training.ranks import other_ranks


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
    with stop_signals() as stop, _quiet_lightning():
        if resume is None:
            config = compose(overrides, config_dir=config_dir)
            job = open_job(config, open_snapshot(config.data.name, workspace), workspace)
            plain = config.model_dump(mode="json")
            device = _device(config)
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


def fit(folder: Path, job: Job, log: MetricsLog, stop: StopRequest) -> tuple[dict[str, float], int]:
    """Trains in a run's folder, from its last checkpoint where there is one, as the rank that the job's share says.

    Writes checkpoints; returns the final metrics and the number of steps. Raises `StateError` for a diverging loss.
    """
    config = job.config
    kind: type[TrainingModule] = load(config.task.module)
    seed_everything(config.seed)
    input_shape, num_outputs = job.input_shape, kind.num_outputs(job)
    network = config.model.build(input_shape=input_shape, num_outputs=num_outputs)
    checkpoints = Checkpoints(folder / "checkpoints", config, stop)
    last = checkpoints.last_path if checkpoints.last_path.exists() else None
    if last is None:
        config.model.start(network, input_shape=input_shape, num_outputs=num_outputs)
    training, checking = kind.loaders(job)
    steps_per_epoch = math.ceil(len(training) / config.trainer.accumulate_grad_batches)
    module = kind(network, job, num_steps=config.trainer.max_epochs * steps_per_epoch, log=log)
    trainer = _trainer(config, checkpoints, folder)
    if last is None:
        log.rewind(0)
    else:
        read_checkpoint(last)  # a damaged one is said in our words
    trainer.fit(module, training, checking, ckpt_path=last, weights_only=True)
    best = {config.monitored.replace("/", "/best_"): checkpoints.best} if checkpoints.best is not None else {}
    return module.metrics | best, trainer.global_step


def _trainer(config: TrainConfig, checkpoints: Checkpoints, folder: Path) -> Trainer:
    callbacks: list[Callback] = [checkpoints]
    if config.monitor.patience is not None:
        stopping = EarlyStopping(
            config.monitored,
            mode=config.monitor_mode,
            patience=config.monitor.patience,
            min_delta=config.monitor.min_delta,
        )
        callbacks.append(stopping)
    if sys.stderr.isatty():
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    return Trainer(
        accelerator=config.trainer.accelerator,
        devices=config.trainer.devices,
        strategy=_strategy(config),
        precision=config.trainer.precision,
        max_epochs=config.trainer.max_epochs,
        gradient_clip_val=config.trainer.gradient_clip_val,
        accumulate_grad_batches=config.trainer.accumulate_grad_batches,
        deterministic=config.trainer.deterministic,
        callbacks=callbacks,
        default_root_dir=folder,
        logger=False,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        # The loaders decide the order; Lightning must not put its sampler into them.
        use_distributed_sampler=False,
    )


def _strategy(config: TrainConfig) -> str | DDPStrategy:
    if config.trainer.devices == 1:
        return "auto"
    frozen = config.finetune.freeze_epochs > 0 or config.finetune.frozen_layers > 0
    # The environment of ours, even in a job of a cluster: `other_ranks` says which rank this is.
    return DDPStrategy(cluster_environment=LightningEnvironment(), find_unused_parameters=frozen)


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


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """What Lightning says at level INFO (no GPU is there, the last epoch was reached) stands in run.json already."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Between Lightning 2.6 and torch 2.13, and none of the user's business.
            warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
