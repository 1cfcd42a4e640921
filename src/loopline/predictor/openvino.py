"""The engine `openvino`: the same ONNX graphs on the CPU, through Intel's compiler; quick with int8."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import IntegrityError
from loopline.predictor.engine import Tensors

# Its package takes its converter along where it finds it, and with that a telemetry library: more than half of the time
# that the import takes. Whoever wants the converter can import it afterwards.
_CONVERTER = "openvino.tools.ovc"
sys.modules.setdefault(_CONVERTER, None)  # type: ignore[arg-type] # how Python is told that there is no such module
try:
    import openvino
finally:
    if sys.modules[_CONVERTER] is None:
        del sys.modules[_CONVERTER]

_DTYPES = {"f32": "float32", "f64": "float64", "f16": "float16", "i64": "int64", "i32": "int32", "u8": "uint8"}


class OpenVinoEngine:
    """Runs a graph; thread-safe, for every thread has requests of its own.

    The graph comes as bytes, so that it is the one whose digest was checked and can name no other file. It is compiled
    for one example, with fixed shapes, and once more for any number when the first larger batch comes.
    """

    def __init__(self, graph: bytes, *, num_threads: int = 0, precision: Literal["f32", "bf16"] = "f32") -> None:
        """Loads the graph; `num_threads` inside one operator (0: one per core). Raises `IntegrityError`.

        With `bf16` it computes in bfloat16 where the processor knows it: only for bundles that were judged so.
        """
        self._num_threads = num_threads
        self._precision = precision
        self._core = openvino.Core()
        try:
            self._model = self._core.read_model(graph, b"")
            self._single = self._compiled(self._model.clone(), num_examples=1)
        except RuntimeError as error:
            sentence = f"openvino {openvino.__version__} cannot load the graph: {error}"
            raise IntegrityError(sentence) from error
        self._any: openvino.CompiledModel | None = None
        self._lock = threading.Lock()
        self._requests = threading.local()

    @property
    def num_threads(self) -> int:
        """The setting that the graph was compiled with; 0 for one per core."""
        return self._num_threads

    @property
    def inputs(self) -> Tensors:
        """Element type and shape by name; None for a free axis."""
        return {port.get_any_name(): _signature(port) for port in self._model.inputs}

    @property
    def outputs(self) -> Tensors:
        """As `inputs`, for what the graph returns."""
        return {port.get_any_name(): _signature(port) for port in self._model.outputs}

    def run(self, inputs: Mapping[str, NDArray[np.generic]], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """One batch through the graph: the named outputs."""
        request = self._request(is_single=all(len(array) == 1 for array in inputs.values()))
        # The inputs outlive the call, so they need no copy; the outputs do not, so they do.
        found = request.infer(dict(inputs), share_inputs=True, share_outputs=False)
        return {name: found[name] for name in names}

    def _request(self, *, is_single: bool) -> openvino.InferRequest:
        kind = "single" if is_single else "any"
        if not hasattr(self._requests, kind):
            compiled = self._single if is_single else self._for_any_number()
            setattr(self._requests, kind, compiled.create_infer_request())
        return getattr(self._requests, kind)

    def _for_any_number(self) -> openvino.CompiledModel:
        with self._lock:
            if self._any is None:
                self._any = self._compiled(self._model)
            return self._any

    def _compiled(self, model: openvino.Model, *, num_examples: int | None = None) -> openvino.CompiledModel:
        if num_examples is not None:
            shapes = {port.get_any_name(): [num_examples, *list(port.partial_shape)[1:]] for port in model.inputs}
            model.reshape(shapes)
        properties: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            # As the bundle says, not in bfloat16 wherever the processor knows it: an answer must not depend on that.
            "INFERENCE_PRECISION_HINT": self._precision,
            # Several processes would choose the same core.
            "ENABLE_CPU_PINNING": False,
        }
        if self._num_threads:
            properties["INFERENCE_NUM_THREADS"] = self._num_threads
        return self._core.compile_model(model, "CPU", properties)


def _signature(port: Any) -> tuple[str, tuple[int | None, ...]]:
    kind = port.get_element_type().get_type_name()
    shape = tuple(length.get_length() if length.is_static else None for length in port.partial_shape)
    return _DTYPES.get(kind, kind), shape
