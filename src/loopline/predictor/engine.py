"""What runs a graph. Engines are alternatives behind one table; a predictor needs this of each.

A bundle names the engine that made it, which also says what kind of graph it holds: several engines read ONNX, and
CTranslate2 its own format alone, for which `loopline.predictor.translation` opens it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import IntegrityError
from loopline.core.records import ModelBundle, TensorSpec
from loopline.core.tables import extensions

# Engines for ONNX graphs.
ENGINES = {
    "onnxruntime": "loopline.predictor.onnx:OnnxEngine",
    "openvino": "loopline.predictor.openvino:OpenVinoEngine",
    "onnxruntime-cuda": "loopline.predictor.onnx:CudaEngine",
    "tensorrt": "loopline.predictor.onnx:TensorRtEngine",
}
GPU_ENGINES = ("onnxruntime-cuda", "tensorrt")
# The role of a float32 graph that is to be computed in bfloat16, and the engine that can.
BFLOAT16, BFLOAT16_ENGINE = "bfloat16", "openvino"
# The format of texts' models, with one engine.
CTRANSLATE2 = "ctranslate2"

# Name to element type and shape; None for a free axis.
Tensors = Mapping[str, tuple[str, tuple[int | None, ...]]]


class Engine(Protocol):
    """A graph, ready to run; thread-safe."""

    @property
    def inputs(self) -> Tensors:
        """What the graph takes."""

    @property
    def outputs(self) -> Tensors:
        """What the graph returns."""

    @property
    def num_threads(self) -> int:
        """The threads inside one operator that it was told to use; 0 for one per core."""

    def run(self, inputs: Mapping[str, NDArray[np.generic]], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """One batch through the graph: the named outputs."""


def allowed_engines(bundle: ModelBundle) -> tuple[str, ...]:
    """The engines that read a bundle's graphs, its own first; a project's own ones are among them."""
    own = bundle.runtime.engine
    if own == CTRANSLATE2:
        return (own,)
    if BFLOAT16 in bundle.graphs:
        return (BFLOAT16_ENGINE,)
    return tuple(dict.fromkeys([own, *ENGINES, *extensions("engine")]))


def check_tensors(given: Tensors, specs: Sequence[TensorSpec], *, kind: str) -> None:
    """Raises `IntegrityError` where a graph's inputs or outputs are not those that the bundle promises."""
    expected = {spec.name: (spec.dtype, spec.shape) for spec in specs}
    if dict(given) != expected:
        raise IntegrityError(f"the graph's {kind} are {_words(given)}; the bundle promises {_words(expected)}.")


def _words(tensors: Tensors) -> str:
    return ", ".join(
        f"{name} {dtype}[{', '.join('batch' if length is None else str(length) for length in shape)}]"
        for name, (dtype, shape) in tensors.items()
    )
