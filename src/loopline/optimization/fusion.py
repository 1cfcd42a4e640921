"""Recipe `fusion`: what can be computed once is, and operators that follow each other become one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from loopline.core.errors import StateError
from loopline.optimization.workbench import Draft, OptimizeSettings, Workbench


def fuse(draft: Draft, _bench: Workbench, _settings: OptimizeSettings) -> Draft:
    """Folds constants and batch normalization into the weights, by ONNX Runtime's own rewriting.

    An engine does the same whenever it opens a graph: the gain is at start, hardly in a prediction. Raises
    `StateError` where nothing is left to rewrite.
    """
    fused = fused_graph(draft.graph)
    before, after = (num_nodes(graph) for graph in (draft.graph, fused))
    if after >= before:
        raise StateError(f"the {before} operators of the graph are fused already.")
    note = f"{before} operators became {after}"
    return draft.then("fusion", fused, role=draft.role, note=note, tolerance=draft.tolerance)


def fused_graph(graph: bytes) -> bytes:
    """The graph after those rewritings of ONNX Runtime that leave standard operators, which every engine reads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fused.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return path.read_bytes()


def num_nodes(graph: bytes) -> int:
    """How many operators a graph has."""
    import onnx

    return len(onnx.load_from_string(graph).graph.node)
