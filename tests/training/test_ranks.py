"""Several processes that train one network: they end where one ends, and stop, fail and resume together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from loopline.core.errors import ConfigError, StateError
from loopline.core.workspace import Workspace
from loopline.networks import read_checkpoint
from loopline.runs import find_run
from loopline.snapshots import open_snapshot
from loopline.training import train
from loopline.training.batches import Batches, BatchKey, Loader, Share, Shuffle
from loopline.training.compose import compose
from loopline.training.job import open_job

Overrides = tuple[str, ...]
# No normalization layers: their statistics are each rank's own, and the sums of two ranks are those of one.
SAME = ("model=mlp", "model.dropout=0", "model.width=16", "trainer.max_epochs=2", "trainer.ema_decay=0.9")


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_ranks_share_the_examples_of_one(digits: Workspace, quick: Overrides, mixup: float) -> None:
    """Together they make what one makes, augmented and mixed as there; of batches to check on each takes whole ones."""
    config = compose([*quick, f"data.augment.mixup={mixup}"])
    job = open_job(config, open_snapshot("digits", digits), digits)
    split = job.snapshot.split("train")
    shuffles = [Shuffle(0, config.data.augment, share=share) for share in (Share(), Share(0, 2), Share(1, 2))]
    whole, *parts = (Batches(split, job.pipeline, digits.cache, batch_size=64, shuffle=shuffle) for shuffle in shuffles)
    key = BatchKey(1, 2)
    for rank, part in enumerate(parts):
        assert torch.equal(part[key].x_N, whole[key].x_N[rank::2])
        assert torch.equal(part[key].targets_N, whole[key].targets_N[rank::2])
        assert part[key].kept == whole[key].kept
    checked = Batches(split, job.pipeline, digits.cache, batch_size=100)
    loaders = [Loader(checked, num_workers=0, share=Share(rank, 2)) for rank in range(2)]
    seen = [len(batch.targets_N) for loader in loaders for batch in loader]
    assert sum(seen) == split.num_examples
    few = Loader(checked, num_workers=0, share=Share(1, 9))
    assert len(few) == len(checked)


def test_two_end_where_one_ends(digits: Workspace, quick: Overrides) -> None:
    """The same examples and the same mean of gradients: weights differ by rounding only, and the figures with them."""
    alone = train([*quick, *SAME], workspace=digits)
    together = train([*quick, *SAME, "trainer.devices=2"], workspace=digits)
    assert together.environment.device.startswith("2 × ")
    assert together.num_steps == alone.num_steps
    states = [read_checkpoint(digits.runs / run.run_id / "checkpoints" / "last.ckpt") for run in (alone, together)]
    for name, weight in states[0]["state_dict"].items():
        np.testing.assert_allclose(states[1]["state_dict"][name], weight, atol=1e-5)
    assert together.metrics == pytest.approx(alone.metrics, abs=1e-5)
    assert "LOCAL_RANK" not in os.environ
    assert not torch.distributed.is_initialized()


def test_stopped_together_and_resumed(digits: Workspace, quick: Overrides) -> None:
    """SIGTERM to the process that one sees ends both after the same step; the resumed run is that of one left alone."""
    overrides = [*quick, "trainer.devices=2", "trainer.max_epochs=400", "name=stopped"]
    command = [sys.executable, "-m", "loopline", "--home", str(digits.root), "train", *overrides]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not any(digits.runs.glob("*/checkpoints/last.ckpt")):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate()
    assert process.returncode == 130, error
    run = find_run("latest", digits)
    assert run.status == "interrupted"
    last = read_checkpoint(digits.runs / run.run_id / "checkpoints" / "last.ckpt")
    assert 0 < last["global_step"] < 400 * 5


def test_a_rank_that_cannot_begin_is_told(
    digits: Workspace, quick: Overrides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its last words; nobody waits for it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'loopline.training.rank' in sys.orig_argv: sys.exit('no room here')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(StateError, match=r"(?s)rank 1 of the training ended with code 1: .*no room here"):
        train([*quick, *SAME, "trainer.devices=2"], workspace=digits)
    assert find_run("latest", digits).status == "failed"


def test_devices_must_share_a_batch_equally(quick: Overrides) -> None:
    """64 examples make no three equal parts."""
    with pytest.raises(ConfigError, match=r"data\.batch_size=64 and trainer\.devices=3 given"):
        compose([*quick, "trainer.devices=3"])
