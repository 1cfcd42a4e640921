"""The one callback of ours: saves the whole state, atomically, so that a resumed run ends in the same bits.

Lightning's checkpoint holds weights, optimizer, schedule and loop counters. Added here and in the task: the states of
all random generators, the loader's place, the running sums, the best score, a stop that was decided. Only tensors and
plain values, so that it loads with `weights_only=True`.
"""

from __future__ import annotations

import random
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from loopline.core.stopping import StopRequest
from loopline.core.store import atomic_file
from loopline.training.config import TrainConfig


class Checkpoints(Checkpoint):
    """Writes `last.ckpt` every n steps and after each epoch, and `best.ckpt` when the monitored metric improved.

    Lightning runs it after early stopping, whose state is therefore of the same epoch. It also ends a run that was
    asked to stop, with `KeyboardInterrupt`, right after the state was saved.
    """

    def __init__(self, folder: Path, config: TrainConfig, stop: StopRequest) -> None:
        self.last_path = folder / "last.ckpt"
        self.best_path = folder / "best.ckpt"
        self.best: float | None = None
        self._config = config
        self._stop = stop
        self._loaded: dict[str, Any] | None = None
        self._should_stop = False

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "random": random_states(), "should_stop": self._should_stop}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]
        self._loaded = state_dict

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # As late as possible: building the network and the loaders has drawn random numbers since it was loaded.
        if self._loaded is not None:
            set_random_states(self._loaded["random"])
            trainer.should_stop = self._loaded["should_stop"]
        if threading.current_thread() is threading.main_thread():
            # Lightning's own handler broadcasts from wherever the signal finds it, while other ranks are elsewhere.
            signal.signal(signal.SIGTERM, self._stop.receive)
        self._stop.deferred = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop.deferred = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch:
            return  # the epoch's end follows, which saves what validation found too
        if (batch_idx + 1) % self._config.trainer.accumulate_grad_batches:
            return  # gradients are half added up, and no checkpoint holds them
        # A signal reaches one rank; all of them stop after the same step.
        stop = trainer.strategy.reduce_boolean_decision(self._stop.requested, all=False)
        if stop or trainer.global_step % self._config.checkpoint.every_n_steps == 0:
            self._save(trainer, stop=stop)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        score = float(trainer.callback_metrics[self._config.monitored])
        sign = -1 if self._config.monitor_mode == "min" else 1
        self._should_stop = trainer.should_stop
        if self.best is None or sign * score > sign * self.best:
            self.best = score
            # Before last.ckpt, which says that it exists: killed in between, the epoch is trained and saved again.
            _write(trainer, self.best_path, weights_only=True)
        self._save(trainer, stop=trainer.strategy.reduce_boolean_decision(self._stop.requested, all=False))

    def _save(self, trainer: Trainer, *, stop: bool) -> None:
        _write(trainer, self.last_path, weights_only=False)
        if stop:
            raise KeyboardInterrupt


def _write(trainer: Trainer, path: Path, *, weights_only: bool) -> None:
    if not trainer.is_global_zero:
        # Writes nothing, but takes part in what the ranks sum up for it.
        trainer.save_checkpoint(path, weights_only=weights_only)
        return
    with atomic_file(path) as temporary:
        trainer.save_checkpoint(temporary, weights_only=weights_only)


def random_states() -> dict[str, Any]:
    """The states of the generators of Python, NumPy and torch (CPU and every CUDA device)."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002 - libraries draw from it
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Puts every generator back to where `random_states` found it."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002 - as above
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])


def seed_everything(seed: int) -> None:
    """Seeds the generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries draw from it
    torch.manual_seed(seed)
