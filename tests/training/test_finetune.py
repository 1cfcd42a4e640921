"""Freezing, layer-wise rates, averaged weights: each option does what it says, and resumes to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loopline.core.records import Run, Signature
from loopline.core.store import read_record
from loopline.core.workspace import Workspace
from loopline.networks import Network, build_network, load_checkpoint, read_checkpoint
from loopline.networks.inference import network_outputs
from loopline.snapshots import open_snapshot
from loopline.training import train
from loopline.training.average import MovingAverage
from loopline.training.checkpoints import Checkpoints
from loopline.training.finetune import FinetuneConfig
from loopline.training.optimizers import AdamwConfig, SgdConfig
from loopline.transforms import build_pipeline


@pytest.fixture
def network() -> Network:
    """Four convolution blocks and a head: five layers."""
    return build_network("cnn", {"width": 4}, input_shape=(1, 16, 16), num_outputs=3)


def _learning(network: Network) -> list[bool]:
    return [all(parameter.requires_grad for parameter in layer) for layer in network.layers()]


def test_layers_go_from_the_input_to_the_head(network: Network) -> None:
    """Every parameter is in one; pooling, which learns nothing, is none."""
    layers = network.layers()
    assert len(layers) == 5
    assert [id(p) for layer in layers for p in layer] == [id(p) for p in network.parameters()]
    assert layers[-1][0].shape[0] == 3


def test_the_head_alone_then_all_but_the_frozen_layers(network: Network) -> None:
    """By epoch, and back again: nothing is remembered."""
    config = FinetuneConfig(freeze_epochs=2, frozen_layers=1)
    for epoch, expected in ((0, [False] * 4 + [True]), (2, [False] + [True] * 4), (1, [False] * 4 + [True])):
        config.apply(network, epoch)
        assert _learning(network) == expected
    FinetuneConfig(frozen_layers=99).apply(network, 0)
    assert _learning(network) == [False] * 4 + [True]


def _statistics(network: Network) -> list[bool]:
    return [module.training for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_statistics_stay_where_nothing_learns(network: Network) -> None:
    """Those of frozen layers always, all of them where asked."""
    FinetuneConfig().apply(network, 0)
    assert _statistics(network) == [True] * 4
    FinetuneConfig(frozen_layers=2).apply(network, 0)
    assert _statistics(network) == [False, False, True, True]
    FinetuneConfig(frozen_statistics=True).apply(network, 0)
    assert _statistics(network) == [False] * 4
    FinetuneConfig(freeze_epochs=1).apply(network, 1)
    assert _statistics(network) == [True] * 4


def test_rates_fall_towards_the_input(network: Network) -> None:
    """Each layer at half the rate of the next one; weight decay stays where it was."""
    for config in (AdamwConfig(lr=0.8, layer_decay=0.5, weight_decay=0.1), SgdConfig(lr=0.8, layer_decay=0.5)):
        rates = {id(p): group["lr"] for group in config.build(network).param_groups for p in group["params"]}
        found = [max(rates[id(p)] for p in layer) for layer in network.layers()]
        assert found == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8])
        assert found == [min(rates[id(p)] for p in layer) for layer in network.layers()]
    groups = AdamwConfig(lr=0.8, layer_decay=0.5, weight_decay=0.1).build(network).param_groups
    assert {p.ndim > 1 for group in groups if group["weight_decay"] for p in group["params"]} == {True}


def test_the_average_follows_its_formula() -> None:
    """Step by step against the plain formula; integers are copied; swapping twice changes nothing."""
    network = build_network("cnn", {"width": 4}, input_shape=(1, 16, 16), num_outputs=3)
    average = MovingAverage(network, 0.9)
    weight = network.layers()[-1][0]
    expected = weight.detach().clone()
    for step in range(1, 30):
        with torch.no_grad():
            weight.add_(torch.randn_like(weight))
        network(torch.randn(4, 1, 16, 16))
        average.after_step(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach()
    assert isinstance(average.mean, Network)
    torch.testing.assert_close(average.mean.layers()[-1][0], expected)
    assert int(average.mean.state_dict()["features.0.1.num_batches_tracked"]) == 29
    before = weight.detach().clone()
    average.swap()
    torch.testing.assert_close(weight.detach(), expected)
    average.swap()
    assert torch.equal(weight, before)
    assert not any(parameter.requires_grad for parameter in average.mean.parameters())


TUNED = (
    "data.augment.crop_area=0.5",
    "data.augment.crop_px=16",
    "data.augment.trivial=true",
    "data.augment.erase=0.5",
    "data.augment.mixup=0.4",
    "data.augment.cutmix=1.0",
    "data.sampler=balanced",
    "task.class_weights=balanced",
    "finetune.freeze_epochs=1",
    "optimizer.layer_decay=0.8",
    "trainer.ema_decay=0.9",
)


def _weights(run: Run, workspace: Workspace, which: str = "last") -> dict[str, Tensor]:
    state: dict[str, Tensor] = read_checkpoint(workspace.runs / run.run_id / "checkpoints" / f"{which}.ckpt")[
        "state_dict"
    ]
    return state


def _equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class _Killed(Exception):
    pass


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")  # torch forks its workers
def test_everything_at_once_resumes_to_the_bit(
    digits: Workspace, quick: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crops, TrivialAugment, mixing, balance, freezing, rates and average, with workers: killed in the second epoch."""
    whole = train((*quick, *TUNED, "data.num_workers=2"), workspace=digits)
    save = Checkpoints._save

    def save_and_die(self: Checkpoints, trainer: Any, *, stop: bool) -> None:
        save(self, trainer, stop=stop)
        if trainer.global_step == 8:
            raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "_save", save_and_die)
        with pytest.raises(_Killed):
            train((*quick, *TUNED, "data.num_workers=0"), workspace=digits)
    killed = max(digits.runs.iterdir(), key=lambda path: path.stat().st_mtime).name
    resumed = train((), workspace=digits, resume=killed)
    assert resumed.run_id != whole.run_id
    assert _equal(_weights(resumed, digits), _weights(whole, digits))


def test_the_average_is_what_is_measured_and_loaded(digits: Workspace, quick: Sequence[str]) -> None:
    """The run's network is the mean; the weights beside it are others, and its accuracy is what the log says."""
    run = train((*quick, "trainer.ema_decay=0.9"), workspace=digits)
    state = _weights(run, digits)
    network = load_checkpoint(digits.runs / run.run_id, which="last")
    loaded = network.state_dict()
    assert all(torch.equal(loaded[key], state[f"average.{key}"]) for key in loaded)
    assert not torch.equal(state["average.head.weight"], state["network.head.weight"])
    accuracy = _accuracy(network, digits)
    assert accuracy == pytest.approx(run.metrics["validation/accuracy"], abs=1e-9)
    for key in loaded:
        loaded[key].copy_(state[f"network.{key}"])
    assert _accuracy(network, digits) != accuracy


def _accuracy(network: Network, workspace: Workspace) -> float:
    split = open_snapshot("digits", workspace).split("validation")
    steps = read_record(Signature, next(workspace.runs.iterdir()) / "signature.json").preprocess
    pipeline = build_pipeline(steps)
    x_NCHW = pipeline.collate(np.stack([pipeline.decode(raw) for raw in split.raw_many(range(len(split)))]))
    return float((network_outputs(network, x_NCHW)["logits"].argmax(axis=1) == split.targets).mean())


def test_frozen_layers_do_not_change(digits: Workspace, quick: Sequence[str]) -> None:
    """Weights and statistics of two layers stay as they were built, the others move."""
    options = (*quick, "trainer.max_epochs=1", "finetune.frozen_layers=2")
    last = _weights(train(options, workspace=digits), digits)
    torch.manual_seed(0)
    built = build_network("cnn", {"width": 4, "dropout": 0.2}, input_shape=(1, 16, 16), num_outputs=10).state_dict()
    same = {key for key, value in built.items() if torch.equal(value, last[f"network.{key}"])}
    frozen = {key for key in built if key.startswith(("features.0.", "features.2."))}
    assert frozen <= same
    assert "features.4.0.weight" not in same
    assert "head.weight" not in same


def test_head_first_then_all(digits: Workspace, quick: Sequence[str]) -> None:
    """After one frozen epoch only the head has moved, after two everything has."""
    torch.manual_seed(0)
    built = build_network("cnn", {"width": 4, "dropout": 0.2}, input_shape=(1, 16, 16), num_outputs=10).state_dict()
    for epochs, moved in ((1, {"head.weight", "head.bias"}), (2, {key for key in built if "weight" in key})):
        options = (*quick, f"trainer.max_epochs={epochs}", "finetune.freeze_epochs=1")
        last = _weights(train(options, workspace=digits), digits)
        changed = {key for key, value in built.items() if not torch.equal(value, last[f"network.{key}"])}
        assert moved <= changed
        assert epochs > 1 or changed == moved
