"""`fit`: Lightning trains a job in a run's folder, from its last checkpoint where there is one."""

from __future__ import annotations

import logging
import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, RichProgressBar
from lightning.pytorch.strategies import DDPStrategy

from loopline.core.stopping import StopRequest
from loopline.core.tables import load
from loopline.networks import read_checkpoint
from loopline.training.checkpoints import Checkpoints, seed_everything
from loopline.training.config import TrainConfig
from loopline.training.job import Job
from loopline.training.metrics_log import MetricsLog
from loopline.training.modules.module import TrainingModule


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


@_quiet_lightning()
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
