"""`export_bundle`: a trained network becomes a bundle, or is refused where the graph does not agree with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from loopline.core.errors import GateRefused, InputError
from loopline.core.progress import bar
from loopline.core.records import Parity, TransformStep
from loopline.export.assemble import BundleFacts, BundleParts, assemble_bundle, graph_outputs
from loopline.export.graph import export_graph
from loopline.networks.inference import network_outputs
from loopline.predictor.agreement import disagreement
from loopline.predictor.onnx import OnnxEngine
from loopline.transforms import build_pipeline
from loopline.transforms.outputs import HEADS

# As many as parity needs, so that whoever has the checkpoint can measure it again from the bundle alone.
NUM_REFERENCE = 64
NUM_PARITY = 256
NUM_DRIFT = 2000
PARITY_TOLERANCE = 1e-4


def export_bundle(
    network: nn.Module,
    facts: BundleFacts,
    *,
    preprocess: Sequence[TransformStep],
    postprocess: Sequence[TransformStep] = (TransformStep(name="softmax"),),
    held_out_raws: Sequence[bytes],
    bundles: Path,
) -> Path:
    """Exports a network and writes the bundle's folder into `bundles`; returns the folder.

    `held_out_raws` are raw examples that training did not see, in no order that means anything (a snapshot's is that
    of digests): the first `NUM_REFERENCE` become reference inputs, unless the facts bring simulated ones, the first
    `NUM_PARITY` prove the graph against the network, at most `NUM_DRIFT` become the drift reference. Raises
    `GateRefused` where the graph's outputs differ from the network's by more than the tolerance, and `InputError` where
    there is no such example or the network cannot take what the preprocess gives.
    """
    if not held_out_raws:
        raise InputError("no held-out example was given; expected at least one, better 64 or more.")
    pipeline = build_pipeline(preprocess)
    head = HEADS[facts.task]
    with bar("Exporting", total=4) as advance:
        held_out_N = np.stack([pipeline.decode(raw) for raw in held_out_raws[:NUM_DRIFT]])
        advance(1)
        graph = export_graph(network, shape=pipeline.input_shape, input_name=pipeline.decoder.input_kind, head=head)
        advance(1)
        parity = measure_parity(network, graph, pipeline.collate(held_out_N[:NUM_PARITY]), head=head)
        advance(1)
        parts = BundleParts(
            graph=graph,
            preprocess=pipeline.steps,
            postprocess=tuple(postprocess),
            reference_raws=facts.simulated_raws or held_out_raws[:NUM_REFERENCE],
            drift_examples=held_out_N,
        )
        folder = assemble_bundle(bundles, parts, facts, parity=parity)
        advance(1)
    return folder


def measure_parity(network: nn.Module, graph: bytes, x_N: NDArray[np.float32], *, head: str) -> Parity:
    """How far the graph's outputs are from the network's own on the same inputs; raises `GateRefused` if too far."""
    error = disagreement(graph_outputs(OnnxEngine(graph), x_N), network_outputs(network, x_N, head=head))
    if not error <= PARITY_TOLERANCE:
        raise GateRefused(
            f"the exported graph differs from its checkpoint by {error:.3g} on {len(x_N)} inputs; "
            f"expected at most {PARITY_TOLERANCE:.3g}."
        )
    return Parity(num_inputs=len(x_N), max_abs_error=error, tolerance=PARITY_TOLERANCE)
