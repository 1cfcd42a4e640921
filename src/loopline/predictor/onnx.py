"""The engine `onnxruntime`: a graph in memory, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from loopline.core.errors import IntegrityError
from loopline.predictor.engine import Tensors


class OnnxEngine:
    """Runs a graph; thread-safe, because a session is.

    The graph comes as bytes, so that it is the one whose digest was checked and can name no other file.
    """

    def __init__(self, graph: bytes, *, num_threads: int = 0) -> None:
        """Loads the graph; `num_threads` inside one operator (0: one per core). Raises `IntegrityError`."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # The runtime's classes share no parent but Exception; each says that this is no graph it can run.
            raise IntegrityError(f"onnxruntime {onnxruntime.__version__} cannot load the graph: {error}") from error

    @property
    def num_threads(self) -> int:
        """The setting that the session runs with."""
        return int(self._session.get_session_options().intra_op_num_threads)

    @property
    def inputs(self) -> Tensors:
        """Element type and shape by name; None for a free axis."""
        return {node.name: (_dtype(node.type), _shape(node.shape)) for node in self._session.get_inputs()}

    @property
    def outputs(self) -> Tensors:
        """As `inputs`, for what the graph returns."""
        return {node.name: (_dtype(node.type), _shape(node.shape)) for node in self._session.get_outputs()}

    def run(self, inputs: Mapping[str, NDArray[np.generic]], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """One batch through the graph: the named outputs."""
        outputs = self._session.run(list(names), dict(inputs))
        return dict(zip(names, outputs, strict=True))


def _dtype(onnx_type: str) -> str:
    inner = onnx_type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(inner, inner)


def _shape(shape: list[int | str | None]) -> tuple[int | None, ...]:
    return tuple(length if isinstance(length, int) else None for length in shape)
