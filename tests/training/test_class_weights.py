"""Rare classes weigh as much as frequent ones where that is asked for, and mixed examples count for both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import pytest
import torch

from loopline.core.workspace import Workspace
from loopline.networks import build_network
from loopline.snapshots import open_snapshot
from loopline.training.batches import Batch
from loopline.training.compose import compose
from loopline.training.job import open_job
from loopline.training.metrics_log import MetricsLog
from loopline.training.modules.classification import Classification


@pytest.fixture
def module(digits: Workspace, quick: Sequence[str]) -> Callable[..., Classification]:
    """The module of a job with more options."""

    def opened(*options: str) -> Classification:
        job = open_job(compose((*quick, *options)), open_snapshot("digits", digits), digits)
        network = build_network("cnn", {"width": 4}, input_shape=(1, 16, 16), num_outputs=10)
        # Nothing is logged here.
        log = cast(MetricsLog, None)
        return Classification(network, job, num_steps=1, log=log)

    return opened


def test_every_class_has_the_same_weight_in_all(module: Callable[..., Classification], digits: Workspace) -> None:
    """The weights of all train examples sum to their number, and to a tenth of it for each digit."""
    weights_K = module("task.class_weights=balanced").weights_K
    assert weights_K is not None
    counts_K = np.bincount(open_snapshot("digits", digits).split("train").targets)
    total_K = weights_K.double().numpy() * counts_K
    assert total_K == pytest.approx(np.full(10, counts_K.sum() / 10))
    assert module().weights_K is None


def test_weights_change_the_training_loss_only(module: Callable[..., Classification]) -> None:
    """A batch of one class has its plain loss times the class's weight; in validation all weigh one."""
    torch.manual_seed(0)
    batch = Batch(torch.randn(8, 1, 16, 16), torch.full((8,), 3))
    weighted = module("task.class_weights=balanced").eval()
    assert weighted.weights_K is not None
    plain = weighted.loss(batch, training=False)[0].item()
    expected = plain * float(weighted.weights_K[3])
    assert weighted.loss(batch, training=True)[0].item() == pytest.approx(expected, rel=1e-5)


def test_a_mixed_batch_has_both_losses(module: Callable[..., Classification]) -> None:
    """In the shares of the mixture."""
    torch.manual_seed(0)
    x_NCHW, targets_N = torch.randn(6, 1, 16, 16), torch.arange(6)
    trained = module().eval()

    def loss(batch: Batch) -> float:
        return trained.loss(batch, training=True)[0].item()

    others_N = targets_N.roll(1)
    expected = 0.7 * loss(Batch(x_NCHW, targets_N)) + 0.3 * loss(Batch(x_NCHW, others_N))
    assert loss(Batch(x_NCHW, targets_N, others_N, 0.7)) == pytest.approx(expected, rel=1e-5)
