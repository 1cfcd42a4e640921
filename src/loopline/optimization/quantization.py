"""Recipes `int8` and `int8-mixed`: whole numbers of eight bits in place of float32, calibrated on training inputs.

Source: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
CVPR 2018; one scale per output channel after Krishnamoorthi, arXiv:1806.08342.

N examples, K outputs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import StateError
from loopline.core.progress import track
from loopline.optimization.fusion import fused_graph
from loopline.optimization.workbench import Draft, OptimizeSettings, Workbench, calibration_inputs
from loopline.predictor.agreement import disagreement
from loopline.predictor.onnx import OnnxEngine
from loopline.transforms import build_pipeline

# What is computed in whole numbers; all other operators stay as they are, between conversions that engines fuse away.
OPERATORS = ("Add", "AveragePool", "Clip", "Concat", "Conv", "Gemm", "GlobalAveragePool", "MatMul", "MaxPool", "Relu")
# Those that carry weights, which is where quantization loses.
WEIGHTED = ("Conv", "Gemm", "MatMul")
# Between engines and processors, which round in other places: on EfficientNet-Lite0, ONNX Runtime and OpenVINO differ
# by up to 0.14 of logits of 4, with equal labels.
INT8_TOLERANCE = 0.2
# Examples that each layer's own loss is measured on.
_NUM_PROBED = 32
# How much of the sum of the layers' losses is bought back.
_SHARE_BOUGHT_BACK = 0.5


def quantize(draft: Draft, bench: Workbench, settings: OptimizeSettings) -> Draft:
    """Every convolution and every product of matrices in int8; raises `StateError` for a graph that has none."""
    x_N = calibration_inputs(bench, build_pipeline(draft.preprocess), settings)
    with _calibrated(draft.graph, x_N) as quantizer:
        graph = quantizer.quantized()
        note = f"{len(quantizer.layers)} layers in int8, ranges from {len(x_N)} training examples"
    return draft.then("int8", graph, role="int8", note=note, tolerance=INT8_TOLERANCE)


def quantize_mixed(draft: Draft, bench: Workbench, settings: OptimizeSettings) -> Draft:
    """As `quantize`, but the layers that lose most stay in float32.

    Each layer is quantized alone, and the outputs are compared with the float32 graph's. The most sensitive layers stay
    as they are until half of the sum of all losses is bought back. Raises `StateError` as `quantize` does, and where
    there is only one layer.
    """
    x_N = calibration_inputs(bench, build_pipeline(draft.preprocess), settings)
    with _calibrated(draft.graph, x_N) as quantizer:
        if len(quantizer.layers) < 2:
            raise StateError("the graph has one layer with weights; expected several to choose from.")
        losses = sensitivities(quantizer, x_N[:_NUM_PROBED])
        kept = fallback_layers(losses)
        graph = quantizer.quantized(kept)
    note = f"{len(losses) - len(kept)} of {len(losses)} layers in int8; in float32: {', '.join(kept)}"
    return draft.then("int8-mixed", graph, role="int8", note=note, tolerance=INT8_TOLERANCE)


def sensitivities(quantizer: Quantizer, x_N: NDArray[np.float32]) -> dict[str, float]:
    """By layer, how far the graph's outputs move when this layer alone is quantized; see `disagreement`."""
    expected = _outputs(quantizer.graph, x_N)
    return {
        layer: disagreement(_outputs(quantizer.quantized_only(layer), x_N), expected)
        for layer in track(quantizer.layers, "Finding sensitive layers")
    }


def fallback_layers(losses: dict[str, float]) -> tuple[str, ...]:
    """The most sensitive layers that together make half of the sum of all losses, at least one, never all."""
    ordered = sorted(losses, key=lambda layer: -losses[layer])
    bought = np.cumsum([losses[layer] for layer in ordered])
    enough = int(np.searchsorted(bought, _SHARE_BOUGHT_BACK * bought[-1])) + 1
    return tuple(ordered[: min(enough, len(ordered) - 1)])


class Quantizer:
    """A float32 graph with the ranges that its tensors have, quantized as often as wanted."""

    def __init__(self, graph: bytes, folder: Path, x_N: NDArray[np.float32]) -> None:
        """Takes a fused graph, a folder to work in, and calibration inputs; the first quantization runs them."""
        import onnx

        self.graph = graph
        self._folder = folder
        self._x_N = x_N
        model = onnx.load_from_string(graph)
        weights = {initializer.name for initializer in model.graph.initializer}
        self.layers = tuple(
            node.name
            for node in model.graph.node
            if node.op_type in WEIGHTED and any(name in weights for name in node.input)
        )
        self._input = model.graph.input[0].name
        self._path = folder / "float32.onnx"
        self._path.write_bytes(graph)
        if not self.layers:
            raise StateError("the graph has no layer with weights that could be int8.")

    def quantized(self, kept: Sequence[str] = ()) -> bytes:
        """The graph in int8, but for the layers that are `kept` in float32."""
        return self._quantized(excluded=list(kept), only=None)

    def quantized_only(self, layer: str) -> bytes:
        """The graph with this layer alone in int8."""
        return self._quantized(excluded=[], only=[layer])

    def _quantized(self, *, excluded: list[str], only: list[str] | None) -> bytes:
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        target = self._folder / "int8.onnx"
        quantize_static(
            self._path,
            target,
            _calibration_reader(self._input, self._x_N),
            # Conversions around standard operators: one graph that every engine reads.
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            # Weights of seven bits: products of eight saturate where a processor has no instruction for them, and the
            # same bundle would answer differently there.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=only,
            nodes_to_exclude=excluded,
            calibration_cache_path=self._folder / "ranges.json",
        )
        return target.read_bytes()


@contextmanager
def _calibrated(graph: bytes, x_N: NDArray[np.float32]) -> Iterator[Quantizer]:
    """The quantizer of a graph after fusion: a folded batch normalization has no range of its own."""
    import logging

    from onnxruntime.quantization import quant_pre_process

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "given.onnx").write_bytes(fused_graph(graph))
        # Shapes of all tensors, which the quantizer wants to know.
        root, level = logging.getLogger(), logging.getLogger().level
        root.setLevel(logging.ERROR)
        try:
            quant_pre_process(
                folder / "given.onnx", folder / "shaped.onnx", skip_optimization=True, skip_symbolic_shape=True
            )
            yield Quantizer((folder / "shaped.onnx").read_bytes(), folder, x_N)
        finally:
            root.setLevel(level)


def _calibration_reader(name: str, x_N: NDArray[np.float32]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        """One example after the other."""

        def __init__(self) -> None:
            self._rest = iter(x_N)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            x = next(self._rest, None)
            return None if x is None else {name: x[np.newaxis]}

    return Reader()


def _outputs(graph: bytes, x_N: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    engine = OnnxEngine(graph, num_threads=1)
    (name,) = engine.inputs
    return engine.run({name: x_N}, list(engine.outputs))
