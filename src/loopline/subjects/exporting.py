"""A completed run becomes a bundle: its checkpoint, its signature and held-out examples are handed to the exporter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from loopline.core.errors import StateError
from loopline.core.records import Run, Signature, TransformStep
from loopline.core.store import read_record
from loopline.core.workspace import Workspace
from loopline.subjects.opening import open_subject
from loopline.subjects.references import open_dataset, run_files
from loopline.transforms import build_pipeline

if TYPE_CHECKING:
    from loopline.snapshots import Snapshot, SplitReader

HELD_OUT_SPLIT = "validation"


def export_run(run: Run, *, name: str | None, coverage: float, workspace: Workspace) -> Path:
    """Exports the best checkpoint of a completed run; returns the bundle's folder.

    `coverage` is the share of truths that the interval of a predicted value is to hold. Raises `StateError` for a run
    that is not completed and `GateRefused` where the graph does not equal the checkpoint.
    """
    from loopline.export import BundleFacts, export_bundle
    from loopline.export.checkpoint import NUM_DRIFT
    from loopline.networks import load_checkpoint
    from loopline.runs import run_folder

    if run.status != "completed":
        raise StateError(
            f"run '{run.run_id}' is {run.status}; expected a completed one.",
            next_command=f"loopline train --resume {run.run_id}",
        )
    folder = run_folder(run, workspace)
    signature = read_record(Signature, folder / "signature.json")
    files = run_files(folder, signature)
    snapshot = open_dataset(signature.dataset, workspace)
    held_out = snapshot.split(HELD_OUT_SPLIT)
    facts = BundleFacts(
        name=name or signature.dataset.name,
        run_id=run.run_id,
        dataset=signature.dataset,
        label_names=signature.label_names,
        licence=snapshot.manifest.licence,
        created_at=run.ended_at or run.started_at,
        metrics=run.metrics,
        held_out_split=held_out.name,
        task=signature.task,
        unit=signature.unit,
        simulated_raws=_simulated(signature, files, snapshot) if snapshot.manifest.confidential else (),
    )
    if signature.task == "translation":
        from loopline.subjects.translating import export_translator

        return export_translator(folder, held_out, facts, bundles=workspace.bundles)
    return export_bundle(
        load_checkpoint(folder),
        facts,
        preprocess=signature.preprocess,
        postprocess=[*signature.postprocess, *_interval(run, signature, held_out, coverage, workspace)],
        held_out_raws=held_out.raw_many(range(min(NUM_DRIFT, held_out.num_examples))),
        bundles=workspace.bundles,
    )


def _simulated(signature: Signature, files: Mapping[str, bytes], snapshot: Snapshot) -> list[bytes]:
    """Made-up raw examples of the shape of the snapshot's own, always the same ones."""
    from loopline.export.checkpoint import NUM_REFERENCE

    pipeline = build_pipeline(signature.preprocess, files)
    shape = snapshot.manifest.input_shape or (() if pipeline.decoder.is_ragged else pipeline.shape)
    return [pipeline.decoder.simulate(shape, np.random.default_rng(index)) for index in range(NUM_REFERENCE)]


def _interval(
    run: Run, signature: Signature, held_out: SplitReader, coverage: float, workspace: Workspace
) -> Sequence[TransformStep]:
    """The step that states how far a value may be off, from the errors on examples that no weight was fitted to."""
    if signature.task != "regression":
        return ()
    from loopline.metrics import conformal_radius

    predicted = open_subject(run, workspace).predict(held_out, workspace.cache)
    radius = conformal_radius(np.abs(predicted.outputs_NK[:, 0] - held_out.targets), coverage)
    minimum = next((step.params["minimum"] for step in signature.postprocess if step.name == "clip"), None)
    params = {"radius": radius, "coverage": coverage, "minimum": minimum}
    return (TransformStep(name="interval", params=params),)
