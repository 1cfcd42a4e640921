"""A training run: what it leaves, that it is the same twice, that its options take effect, how it fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import loopline.data
from loopline.core.errors import ConfigError, StateError, UnknownName
from loopline.core.records import Run, Signature
from loopline.core.store import digest_file, read_record
from loopline.core.workspace import Workspace
from loopline.networks import load_checkpoint
from loopline.runs import find_run, list_runs
from loopline.snapshots import decoded_inputs, open_snapshot
from loopline.training import train
from loopline.training.resume_proof import weights_digest
from loopline.transforms import build_pipeline

Overrides = tuple[str, ...]
GOLDEN = Path(__file__).parent / "golden" / "digits.json"


def _curve(run: Run, workspace: Workspace) -> list[dict[str, float]]:
    text = (workspace.runs / run.run_id / "metrics.jsonl").read_text(encoding="utf-8")
    rows: list[dict[str, float]] = [json.loads(line) for line in text.splitlines()]
    return rows


def test_run_leaves_everything_that_made_it(digits: Workspace, quick: Overrides) -> None:
    """Record, configuration, signature, packages, figures and checkpoints; listed files have their digests."""
    run = train(quick, workspace=digits)
    folder = digits.runs / run.run_id
    assert read_record(Run, folder / "run.json") == run == find_run("latest", digits)
    assert (run.status, run.kind, run.seed, run.overrides) == ("completed", "train", 0, quick)
    assert run.dataset.version == open_snapshot("digits", digits).manifest.version
    assert set(run.metrics) == {
        "train/loss",
        "train/accuracy",
        "validation/loss",
        "validation/accuracy",
        "validation/best_accuracy",
    }
    listed = {artifact.path: artifact.digest for artifact in run.artifacts}
    assert {"config.yaml", "signature.json", "metrics.jsonl", "checkpoints/best.ckpt"} <= listed.keys()
    assert all(digest_file(folder / path) == digest for path, digest in listed.items())


def test_validation_sees_a_picture_once(digits: Workspace, quick: Overrides) -> None:
    """The views that a network is averaged over when it is used cost nothing while it trains."""
    plain, averaged = (
        train((*quick, "model=resnet", f"model.test_time_shift_px={shift_px}"), workspace=digits) for shift_px in (0, 2)
    )
    assert averaged.metrics == plain.metrics
    network = load_checkpoint(digits.runs / averaged.run_id)
    x_NCHW = torch.rand(4, 1, 16, 16)
    assert not torch.allclose(network(x_NCHW)[0], network.one_view()(x_NCHW)[0])


def test_best_checkpoint_is_the_best_one(digits: Workspace, quick: Overrides) -> None:
    """Loaded from the run's folder alone, it reproduces the best validation accuracy of the run."""
    run = train((*quick, "optimizer.lr=0.1"), workspace=digits)
    folder = digits.runs / run.run_id
    signature = read_record(Signature, folder / "signature.json")
    assert signature.input_shape == (1, 16, 16)
    assert len(signature.label_names) == signature.num_outputs == 10
    pipeline = build_pipeline(signature.preprocess)
    split = open_snapshot("digits", digits).split("validation")
    x_NCHW = torch.from_numpy(pipeline.collate(decoded_inputs(split, pipeline, digits.cache)))
    with torch.inference_mode():
        logits_NK, _ = load_checkpoint(folder)(x_NCHW)
    accuracy = float(np.mean(logits_NK.argmax(dim=1).numpy() == split.targets))
    epochs = [row["validation/accuracy"] for row in _curve(run, digits) if "validation/accuracy" in row]
    assert len(epochs) == 3
    assert accuracy == run.metrics["validation/best_accuracy"] == max(epochs)


def test_equal_runs_are_equal_to_the_bit(digits: Workspace, quick: Overrides) -> None:
    """Same configuration: same weights and figures. Another seed: others."""
    runs = [train((*quick, f"seed={seed}"), workspace=digits) for seed in (5, 5, 6)]
    digests = [weights_digest(digits.runs / run.run_id / "checkpoints" / "last.ckpt") for run in runs]
    assert digests[0] == digests[1] != digests[2]
    assert _curve(runs[0], digits) == _curve(runs[1], digits) != _curve(runs[2], digits)


def test_loss_curve_is_the_golden_one(digits: Workspace, quick: Overrides) -> None:
    """Every step's loss equals the stored one within its tolerance: rounding may differ, mathematics may not.

    A change that is meant to change them rewrites the file: see docs/train.md.
    """
    run = train((*quick, "data.num_workers=0"), workspace=digits)
    losses = [row["train/batch_loss"] for row in _curve(run, digits) if "train/batch_loss" in row]
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert losses == pytest.approx(golden["train/batch_loss"], abs=golden["tolerance"])


def test_options_of_the_trainer_take_effect(digits: Workspace, quick: Overrides) -> None:
    """Each option changes what it says: epochs, logging, smoothing, clipping, precision, batch size."""
    plain = _curve(train(quick, workspace=digits), digits)
    rare = _curve(train((*quick, "trainer.log_every_n_steps=4", "trainer.max_epochs=1"), workspace=digits), digits)
    assert [row["step"] for row in rare] == [4, 5]
    for option in (
        "task.label_smoothing=0.3",
        "trainer.gradient_clip_val=0.01",
        "trainer.precision=bf16-mixed",
        "scheduler=constant",
        "optimizer=sgd",
        "model=resnet",
        "data.augment.shift_px=3",
        "model.dropout=0.5",
    ):
        changed = _curve(train((*quick, option, "trainer.max_epochs=1"), workspace=digits), digits)
        assert changed[4]["train/batch_loss"] != plain[4]["train/batch_loss"], option
    assert train((*quick, "data.max_examples=64", "trainer.max_epochs=2"), workspace=digits).num_steps == 2


def test_early_stopping_ends_a_run(digits: Workspace, quick: Overrides) -> None:
    """With an improvement that nobody can reach, patience ends it after two epochs of nine."""
    run = train(
        (*quick, "trainer.max_epochs=9", "monitor.patience=1", "monitor.min_delta=1", "monitor.metric=validation/loss"),
        workspace=digits,
    )
    assert (run.status, run.num_steps) == ("completed", 10)
    assert "validation/best_loss" in run.metrics


def test_colour_from_grey(digits: Workspace, quick: Overrides) -> None:
    """A grey snapshot can be read as colour: three channels with the grey statistics."""
    run = train((*quick, "input.mode=RGB", "trainer.max_epochs=1"), workspace=digits)
    signature = read_record(Signature, digits.runs / run.run_id / "signature.json")
    assert signature.input_shape == (3, 16, 16)
    mean = signature.preprocess[-1].params["mean"]
    assert len(mean) == 3
    assert mean[0] == pytest.approx(mean[1])


def test_diverging_run_fails_with_a_sentence(digits: Workspace, quick: Overrides) -> None:
    """A loss that is not a number ends the run as failed, with what to change; it can be looked at afterwards."""
    with pytest.raises(StateError, match=r"is (nan|inf) at step \d+; expected a finite number") as caught:
        train((*quick, "optimizer=sgd", "optimizer.lr=1e30"), workspace=digits)
    assert "trainer.gradient_clip_val=1" in (caught.value.next_command or "")
    run = find_run("latest", digits)
    assert run.status == "failed"
    assert run.error == caught.value.message


@pytest.mark.parametrize(
    ("override", "kind", "sentence"),
    [
        ("data.name=nothing", UnknownName, "snapshot 'nothing' does not exist; known: digits"),
        ("data.validation_split=dev", UnknownName, "'dev' does not exist; known: test, train, validation"),
        ("modle.width=3", ConfigError, "unknown key"),
    ],
)
def test_mistakes_leave_no_run(
    digits: Workspace, quick: Overrides, override: str, kind: type[Exception], sentence: str
) -> None:
    """What can be known before the first second is said before a run exists."""
    with pytest.raises(kind, match=sentence):
        train((*quick, override), workspace=digits)
    assert list_runs(digits) == []


def test_data_for_another_task_is_refused(workspace: Workspace, tmp_path: Path, quick: Overrides) -> None:
    """A regression snapshot does not fit the classification task."""
    from PIL import Image

    lines = ["path,label"]
    for index in range(30):
        Image.new("L", (16, 16), index).save(tmp_path / f"{index}.png")
        lines.append(f"{index}.png,{index}.5")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines), encoding="utf-8")
    shares = loopline.data.Options(validation_share=0.3, test_share=0.3)
    loopline.data.snapshot(table, name="values", task="regression", options=shares, workspace=workspace)
    with pytest.raises(ConfigError, match="snapshot 'values' holds image inputs for regression; expected image inputs"):
        train((*quick, "data.name=values"), workspace=workspace)
