"""The overrides of a run on real digits that takes a second."""

from __future__ import annotations

import pytest

_QUICK = (
    "data.name=digits",
    "input.height=16",
    "input.width=16",
    "input.mode=L",
    "data.batch_size=64",
    "data.augment.shift_px=1",
    "model.width=4",
    "model.dropout=0.2",
    "optimizer.lr=0.02",
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=1",
    "checkpoint.every_n_steps=2",
    "monitor.patience=null",
    "tracking=none",
)


@pytest.fixture
def quick() -> tuple[str, ...]:
    """Overrides of a run of a second with all that makes resuming hard: shuffle, augmentation, dropout, epochs."""
    return _QUICK
