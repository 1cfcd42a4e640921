"""Puts a bundle together from a graph and real examples. No torch: whoever has an ONNX graph can make a bundle.

N examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.bundle import CARD_FILE, UNSEALED, list_files, pack_arrays, pack_reference, write_bundle
from loopline.core.records import (
    DatasetRef,
    Derivation,
    ModelBundle,
    Parity,
    Reference,
    Runtime,
    Task,
    TensorSpec,
    TransformStep,
)
from loopline.export.card import model_card
from loopline.predictor.onnx import OnnxEngine
from loopline.transforms import build_pipeline, build_postprocess
from loopline.transforms.outputs import answer_outputs

GRAPH_FILE = "graph.onnx"
REFERENCE_FILE = "reference.npz"
DRIFT_FILE = "drift.npz"
# What two builds of an engine may differ by, see `predictor.agreement`: float32 sums in another order.
REFERENCE_TOLERANCE = 1e-3
# The least version of each engine that a bundle may be made for.
MINIMUM_RUNTIMES = {"onnxruntime": "1.22.0", "openvino": "2025.3"}
_BATCH = 64


@dataclass(frozen=True)
class BundleFacts:
    """What is known about a model besides its numbers."""

    name: str
    run_id: str
    dataset: DatasetRef
    label_names: tuple[str, ...]
    licence: str
    # The moment that the model was made, not that of the export: the same run gives the same bundle.
    created_at: datetime
    metrics: dict[str, float]
    # The split that the reference examples come from, which training did not see.
    held_out_split: str
    task: Task = "classification"
    unit: str | None = None
    # Made-up reference inputs, where the dataset's own may not leave.
    simulated_raws: Sequence[bytes] = ()
    # The digest of the bundle that it was made of, and how.
    parent: str | None = None
    derivation: Derivation | None = None


@dataclass(frozen=True)
class BundleParts:
    """A graph, the steps around it, and held-out examples."""

    graph: bytes
    preprocess: tuple[TransformStep, ...]
    postprocess: tuple[TransformStep, ...]
    # Raw files whose outputs every opening must reproduce.
    reference_raws: Sequence[bytes]
    # Decoded examples, stacked, whose embeddings and outputs drift compares with.
    drift_examples: NDArray[Any]
    # What the graph computes in, the engine that opens it unless told otherwise, and how far another one may be off.
    role: str = "float32"
    engine: str = "onnxruntime"
    tolerance: float = REFERENCE_TOLERANCE


def assemble_bundle(bundles: Path, parts: BundleParts, facts: BundleFacts, *, parity: Parity) -> Path:
    """Runs the graph on the reference and drift examples, and writes the bundle to a new folder in `bundles`.

    Returns the folder; the same parts give the same folder. Raises `IntegrityError` where the runtime cannot load the
    graph.
    """
    engine = OnnxEngine(parts.graph)
    pipeline = build_pipeline(parts.preprocess)
    postprocess = build_postprocess(parts.postprocess)
    expected = graph_outputs(engine, pipeline.collate(np.stack([pipeline.decode(raw) for raw in parts.reference_raws])))
    drift = postprocess(graph_outputs(engine, pipeline.collate(np.asarray(parts.drift_examples))))
    _, outputs_NK = answer_outputs(facts.task, drift, facts.label_names)
    files = {
        GRAPH_FILE: parts.graph,
        REFERENCE_FILE: pack_reference(parts.reference_raws, expected),
        DRIFT_FILE: pack_arrays({"embedding": drift["embedding"], "outputs": outputs_NK}),
    }
    bundle = ModelBundle(
        name=facts.name,
        digest=UNSEALED,
        task=facts.task,
        input_kind=pipeline.decoder.input_kind,
        inputs=tuple(_spec(name, *kind, axes=_input_axes(kind[1])) for name, kind in engine.inputs.items()),
        outputs=tuple(_spec(name, *kind, axes=_OUTPUT_AXES[name]) for name, kind in engine.outputs.items()),
        preprocess=pipeline.steps,
        postprocess=postprocess.steps,
        graphs={parts.role: GRAPH_FILE},
        label_names=facts.label_names,
        unit=facts.unit,
        run_id=facts.run_id,
        dataset=facts.dataset,
        metrics=facts.metrics,
        parent=facts.parent,
        derivation=facts.derivation,
        parity=parity,
        reference=Reference(
            inputs_file=REFERENCE_FILE,
            num_inputs=len(parts.reference_raws),
            tolerance=parts.tolerance,
            drift_file=DRIFT_FILE,
            drift_split=facts.held_out_split,
            num_drift=len(parts.drift_examples),
            is_simulated=bool(facts.simulated_raws),
        ),
        runtime=Runtime(
            engine=parts.engine, version=version(parts.engine), minimum_version=MINIMUM_RUNTIMES[parts.engine]
        ),
        licence=facts.licence,
        files=list_files(files),
        created_at=facts.created_at,
    )
    files[CARD_FILE] = model_card(bundle).encode()
    return write_bundle(bundles, bundle.model_copy(update={"files": list_files(files)}), files)


def graph_outputs(engine: OnnxEngine, x_N: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What a graph with one input returns for a batch of any size, by output name."""
    (name,) = engine.inputs
    names = list(engine.outputs)
    batches = [engine.run({name: x_N[start : start + _BATCH]}, names) for start in range(0, len(x_N), _BATCH)]
    return {output: np.concatenate([batch[output] for batch in batches]) for output in names}


_OUTPUT_AXES = {"logits": ("label",), "value": ("target",), "embedding": ("feature",)}


def _input_axes(shape: tuple[int | None, ...]) -> tuple[str, ...]:
    """The names of a graph input's axes after the batch; those of pictures have names of their own."""
    if len(shape) == 4:
        return ("channel", "height", "width")
    return tuple(f"axis_{number}" for number in range(1, len(shape)))


def _spec(name: str, dtype: str, shape: tuple[int | None, ...], *, axes: tuple[str, ...]) -> TensorSpec:
    return TensorSpec.model_validate({"name": name, "dtype": dtype, "axes": ("batch", *axes), "shape": shape})
