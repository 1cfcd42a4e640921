"""Batches of tokens: bounded, shuffled by (seed, epoch) alone, every pair once; and a mean of weights over epochs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import loopline.data
from loopline.core.errors import ConfigError, UnknownName
from loopline.core.workspace import Workspace
from loopline.data import Columns, Options
from loopline.networks.mlp import MlpConfig
from loopline.snapshots import Snapshot, open_snapshot
from loopline.training.average import EpochAverage
from loopline.training.batches import BatchKey
from loopline.training.compose import compose
from loopline.training.job import open_job
from loopline.training.modules.translation import Translation
from loopline.training.optimizers import InverseSqrtConfig
from loopline.training.text_input import TextInput
from loopline.training.token_batches import TokenBatches
from loopline.transforms import Pipeline, build_pipeline

WORDS = "a red dog sees the old tree and likes big cats".split()  # noqa: SIM905 - a sentence reads better


@pytest.fixture
def snapshot(workspace: Workspace, tmp_path: Path) -> Snapshot:
    """120 pairs of one to eleven words, and one that is too long for a segment."""
    lines = [" ".join(WORDS[: 1 + row % 11]) + f" {row}" for row in range(120)] + ["tree " * 200]
    for language in ("en", "de"):
        (tmp_path / f"corpus.{language}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    options = Options(columns=Columns(input="en", target="de"), test_share=0, validation_share=0.1)
    loopline.data.snapshot(f"parallel:{tmp_path}", name="t", task="translation", options=options, workspace=workspace)
    return open_snapshot("t", workspace)


def pipeline_of(snapshot: Snapshot, workspace: Workspace, **settings: object) -> Pipeline:
    text = TextInput.model_validate({"num_pieces": 60, "segment_tokens": 64, **settings})
    return build_pipeline(text.steps(snapshot.manifest), text.files(snapshot, workspace.cache))


def make(snapshot: Snapshot, workspace: Workspace, seed: int | None = 0, max_tokens: int = 200) -> TokenBatches:
    pipeline = pipeline_of(snapshot, workspace)
    return TokenBatches(snapshot.split("train"), pipeline, workspace.cache, max_tokens=max_tokens, seed=seed)


def rows(batches: TokenBatches, epoch: int) -> list[tuple[int, ...]]:
    """Every source of an epoch, in order, without padding."""
    found = []
    for number in range(len(batches)):
        batch = batches[BatchKey(epoch, number)]
        found += [tuple(index for index in row if index) for row in batch.x_N.tolist()]
    return found


def test_every_pair_comes_once_an_epoch_in_an_order_of_its_own(snapshot: Snapshot, workspace: Workspace) -> None:
    batches = make(snapshot, workspace)
    first, second = rows(batches, 0), rows(batches, 1)
    assert sorted(first) == sorted(second)
    assert first != second
    # The pair that is longer than a segment is left out, if it fell into this split.
    assert snapshot.split("train").num_examples - len(first) in (0, 1)
    assert rows(make(snapshot, workspace), 1) == second
    assert rows(make(snapshot, workspace, seed=1), 0) != first


def test_a_batch_stays_within_its_tokens_and_wastes_little(snapshot: Snapshot, workspace: Workspace) -> None:
    batches = make(snapshot, workspace)
    padded = used = 0
    for number in range(len(batches)):
        x_NS, targets_NT = batches[BatchKey(0, number)][:2]
        assert len(x_NS) == len(targets_NT)
        assert max(x_NS.numel(), targets_NT.numel()) <= 200
        padded, used = padded + x_NS.numel(), used + int((x_NS != 0).sum())
    assert used > 0.75 * padded
    assert len(make(snapshot, workspace, max_tokens=400)) < len(batches)


def test_unshuffled_batches_are_in_the_order_of_lengths(snapshot: Snapshot, workspace: Workspace) -> None:
    lengths = [batch.x_N.shape[1] for batch in map(make(snapshot, workspace, seed=None).__getitem__, _keys(3))]
    assert lengths == sorted(lengths)


def _keys(number: int) -> list[BatchKey]:
    return [BatchKey(0, place) for place in range(number)]


def test_what_does_not_fit_is_refused(snapshot: Snapshot, workspace: Workspace) -> None:
    overrides = ["recipe=translation", "data.name=t", "input.num_pieces=60"]
    job = open_job(compose(overrides), snapshot, workspace)
    assert Translation.num_outputs(job) <= 60
    assert job.input_shape == ()
    balanced = open_job(compose([*overrides, "data.sampler=balanced"]), snapshot, workspace)
    with pytest.raises(ConfigError, match="texts have no classes to balance"):
        Translation.loaders(balanced)
    short = pipeline_of(snapshot, workspace, segment_tokens=16, prefix="a red", num_pieces=60)
    kept = TokenBatches(snapshot.split("train"), short, workspace.cache, max_tokens=200, seed=None)
    assert len(rows(kept, 0)) < len(rows(make(snapshot, workspace), 0))


def test_a_given_tokenizer_is_used_as_it_is(snapshot: Snapshot, workspace: Workspace, tmp_path: Path) -> None:
    trained = TextInput(num_pieces=60).files(snapshot, workspace.cache)
    assert TextInput(num_pieces=60).files(snapshot, workspace.cache) == trained
    (tmp_path / "spiece.model").write_bytes(trained["tokenizer.model"])
    for place in (tmp_path, tmp_path / "spiece.model"):
        assert TextInput(tokenizer=str(place)).files(snapshot, workspace.cache) == trained


def test_the_mean_of_the_last_epochs() -> None:
    network = MlpConfig(width=2, depth=1).build(input_shape=(1,), num_outputs=1)
    average = EpochAverage(network, num_epochs=2, max_epochs=4)
    seen = []
    for epoch in range(4):
        torch.nn.init.constant_(network.head.bias, float(epoch))
        average.after_epoch(epoch)
        seen.append(float(average.mean.get_parameter("head.bias").detach()))
    assert seen == [0.0, 1.0, 2.0, 2.5]
    average.swap()
    assert float(network.head.bias.detach()) == 2.5


def test_one_mean_at_a_time_and_a_root_that_falls() -> None:
    with pytest.raises(ConfigError, match="at most one of them"):
        compose(["recipe=fashion", "trainer.ema_decay=0.9", "trainer.average_epochs=2"])
    with pytest.raises(UnknownName, match="scheduler"):
        compose(["recipe=fashion", "scheduler.name=inverse_root"])
    schedule = InverseSqrtConfig(warmup=0.25)
    assert [schedule.factor(progress) for progress in (0.25, 1.0)] == [1.0, 0.5]
    assert schedule.factor(0.0) < schedule.factor(0.1) < 1
