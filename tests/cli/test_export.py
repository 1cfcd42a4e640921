"""`loopline export` and `loopline bundle`: from a run's checkpoint to a bundle, and back to what it claims."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from loopline.bundle import find_bundle, read_bundle, read_reference
from loopline.core.records import DatasetManifest, DatasetRef, Run, Signature
from loopline.core.store import write_record
from loopline.core.workspace import Workspace
from loopline.data import Options, snapshot
from loopline.networks import build_network
from loopline.runs import start_run
from loopline.testing import make_bundle
from loopline.transforms import image_steps

Loopline = Callable[..., Any]
MODEL = {"name": "cnn", "width": 4}


def make_run(workspace: Workspace, manifest: DatasetManifest, *, complete: bool = True) -> Run:
    """A run as training leaves one: record, signature and best checkpoint of a network with random weights."""
    dataset = DatasetRef(name=manifest.name, version=manifest.version)
    signature = Signature(
        task="classification",
        input_kind="image",
        dataset=dataset,
        preprocess=image_steps(height=16, width=16, mode="L", mean=[0.3], std=[0.35]),
        input_shape=(1, 16, 16),
        num_outputs=len(manifest.label_names),
        label_names=manifest.label_names,
    )
    network = build_network("cnn", MODEL, input_shape=(1, 16, 16), num_outputs=signature.num_outputs)
    with start_run(workspace, kind="train", config={"name": "digits", "model": MODEL}, dataset=dataset) as run:
        write_record(run.path / "signature.json", signature)
        (run.path / "checkpoints").mkdir(exist_ok=True)
        weights = {f"network.{key}": value for key, value in network.state_dict().items()}
        torch.save({"state_dict": weights}, run.path / "checkpoints" / "best.ckpt")
        if complete:
            run.complete(metrics={"validation/accuracy": 0.1}, num_steps=1)
    return run.record


def test_a_run_becomes_a_bundle(loopline: Loopline, workspace: Workspace, digits_folder: Path) -> None:
    """Export, export again, show, verify: one bundle, with the run's facts, whose claims hold up to the checkpoint."""
    manifest = snapshot(
        digits_folder, name="digits", options=Options(licence="BSD-3-Clause", validation_share=0.3), workspace=workspace
    )
    run = make_run(workspace, manifest)
    ended = loopline("export", run.run_id[:15])
    assert (ended.code, ended.err) == (0, "")
    folder = find_bundle("latest", workspace)
    bundle = read_bundle(folder)
    assert str(folder) in ended.out
    assert f"next: loopline register {bundle.digest[:12]} --name digits" in ended.out
    assert (bundle.run_id, bundle.licence, bundle.dataset.version) == (run.run_id, "BSD-3-Clause", manifest.version)
    assert bundle.metrics == run.metrics
    assert bundle.parity.num_inputs == manifest.splits["validation"].num_examples >= 64
    again = loopline("export", run.run_id)
    assert again.out == ended.out
    assert [path.name for path in workspace.bundles.iterdir()] == [folder.name]
    verified = loopline("bundle", "verify", bundle.digest[:10], "--json")
    assert verified.code == 0
    assert [(check["name"], check["passed"]) for check in json.loads(verified.out)] == [
        ("digests", True),
        ("reference predictions", True),
        ("drift reference", True),
        ("parity with the checkpoint", True),
    ]


def test_confidential_data_stay_home(loopline: Loopline, workspace: Workspace, digits_folder: Path) -> None:
    """The raw reference inputs of a confidential snapshot's bundle are made up, and the card says so."""
    manifest = snapshot(digits_folder, name="secret", options=Options(confidential=True), workspace=workspace)
    make_run(workspace, manifest)
    assert loopline("export").code == 0
    folder = find_bundle("latest", workspace)
    bundle = read_bundle(folder)
    assert bundle.reference.is_simulated
    raws, _ = read_reference(folder, bundle)
    assert not {*raws} & {path.read_bytes() for path in digits_folder.rglob("*.png")}
    assert "Those inputs are made up" in (folder / "card.md").read_text(encoding="utf-8")


def test_an_unfinished_run_is_not_exported(loopline: Loopline, workspace: Workspace, digits_folder: Path) -> None:
    """A run that is not completed is refused with the command that goes on with it."""
    manifest = snapshot(digits_folder, name="digits", workspace=workspace)
    run = make_run(workspace, manifest, complete=False)
    ended = loopline("export", "latest")
    assert ended.code == 1
    assert f"next: loopline train --resume {run.run_id}" in ended.err


def test_an_unknown_run_is_one_sentence(loopline: Loopline) -> None:
    """Where there is no run, the error says so, with the command that makes one."""
    ended = loopline("export", "20990101")
    assert ended.code == 1
    assert "run '20990101' does not exist" in ended.err
    assert "Traceback" not in ended.err


def test_show_prints_the_card_or_the_record(loopline: Loopline, workspace: Workspace) -> None:
    """The card for people, bundle.json for programs."""
    folder = make_bundle(workspace.bundles)
    assert loopline("bundle", "show", "latest").out.rstrip() == (folder / "card.md").read_text().rstrip()
    assert json.loads(loopline("bundle", "show", folder, "--json").out) == json.loads(
        (folder / "bundle.json").read_text()
    )


@pytest.mark.parametrize("command", ["show", "verify"])
def test_an_unknown_bundle_is_one_sentence(loopline: Loopline, workspace: Workspace, command: str) -> None:
    """What exists is listed, and the next command given."""
    folder = make_bundle(workspace.bundles)
    ended = loopline("bundle", command, "tiny")
    assert ended.code == 1
    assert ended.err == f"error: bundle 'tiny' does not exist; known: {folder.name}.\n  next: loopline export latest\n"


def test_verify_prints_each_claim_and_fails_with_one(loopline: Loopline, workspace: Workspace) -> None:
    """A table of claims; exit code 0 where all hold, 1 where one does not, with the file's name."""
    folder = make_bundle(workspace.bundles)
    good = loopline("bundle", "verify", folder)
    assert good.code == 0
    assert "16 raw inputs reproduced within 0.001" in good.out
    card = (folder / "card.md").read_bytes()
    (folder / "card.md").write_bytes(card[:-1] + b"!")
    broken = loopline("bundle", "verify", folder)
    assert broken.code == 1
    assert "card.md' was changed" in broken.out
    assert "digests" in broken.out
