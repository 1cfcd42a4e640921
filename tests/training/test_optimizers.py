"""Optimizers and schedules take their parameters; schedules have the shape that they promise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from loopline.training.optimizers import AdamwConfig, ConstantConfig, CosineConfig, SgdConfig


def test_weight_decay_spares_vectors() -> None:
    """Matrices decay; biases and normalisation do not."""
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    for config in (AdamwConfig(lr=0.1, weight_decay=0.3), SgdConfig(lr=0.1, weight_decay=0.3)):
        decayed, spared = config.build(module).param_groups
        assert [p.ndim for p in decayed["params"]] == [2]
        assert {p.ndim for p in spared["params"]} == {1}
        assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)


def test_parameters_reach_the_optimizer() -> None:
    """Momentum, betas and learning rate take effect."""
    module = nn.Linear(3, 2)
    adamw = AdamwConfig(lr=0.2, beta1=0.7, beta2=0.8).build(module)
    assert isinstance(adamw, torch.optim.AdamW)
    assert (adamw.defaults["lr"], adamw.defaults["betas"]) == (0.2, (0.7, 0.8))
    sgd = SgdConfig(lr=0.2, momentum=0.5).build(module)
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.5, True)


def test_cosine_warms_up_and_ends_at_zero() -> None:
    """Linear up to one at the end of the warm-up, then down to zero at the last step, never negative."""
    config = CosineConfig(warmup=0.2)
    assert config.factor(0.0) == pytest.approx(0.02)
    assert config.factor(0.1) == pytest.approx(0.51)
    assert config.factor(0.2) == pytest.approx(1.0)
    assert config.factor(0.6) == pytest.approx(0.5)
    assert config.factor(1.0) == pytest.approx(0.0, abs=1e-12)
    assert CosineConfig(warmup=0.0).factor(0.0) == 1.0


def test_schedule_scales_the_learning_rate_over_all_steps() -> None:
    """The optimizer's rate follows the factor, and stays at its end beyond the last step."""
    optimizer = SgdConfig(lr=2.0).build(nn.Linear(1, 1))
    scheduler = CosineConfig(warmup=0.0).build(optimizer, num_steps=4)
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([2.0, 1.7071068, 1.0, 0.2928932, 0.0, 0.0], abs=1e-6)
    assert ConstantConfig().factor(0.7) == 1.0
