"""The engines of ONNX Runtime: `onnxruntime` on the CPU, `onnxruntime-cuda` and `tensorrt` on NVIDIA's GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from loopline.core.errors import IntegrityError, StateError
from loopline.predictor.engine import Tensors

_ON_CPU = "loopline serve MODEL --engine onnxruntime"


class OnnxEngine:
    """Runs a graph; thread-safe, because a session is.

    The graph comes as bytes, so that it is the one whose digest was checked and can name no other file.
    """

    # What computes, by ONNX Runtime's names; what the first cannot do, the next does.
    providers: ClassVar[tuple[str, ...]] = ("CPUExecutionProvider",)

    def __init__(self, graph: bytes, *, num_threads: int = 0) -> None:
        """Loads the graph; `num_threads` inside one operator (0: one per core).

        Raises `IntegrityError` for a graph that cannot be loaded and `StateError` where this machine lacks what
        computes.
        """
        self._check_build()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=list(self.providers))
        except Exception as error:
            # The runtime's classes share no parent but Exception; each says that this is no graph it can run.
            raise IntegrityError(f"onnxruntime {onnxruntime.__version__} cannot load the graph: {error}") from error
        if self._session.get_providers()[0] != self.providers[0]:
            # It has only logged that libraries or the device are missing, and would compute elsewhere.
            raise StateError(
                f"onnxruntime cannot use {self.providers[0]} on this machine: its libraries or the device are missing.",
                next_command=_ON_CPU,
            )

    @classmethod
    def _check_build(cls) -> None:
        if cls.providers[0] not in onnxruntime.get_available_providers():
            raise StateError(
                f"onnxruntime {onnxruntime.__version__} was built without {cls.providers[0]}; the package "
                "onnxruntime-gpu, in the place of onnxruntime, has it.",
                next_command=_ON_CPU,
            )

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


class CudaEngine(OnnxEngine):
    """The same graphs on a GPU; what it has no kernel for runs on the CPU."""

    providers = ("CUDAExecutionProvider", "CPUExecutionProvider")


class TensorRtEngine(OnnxEngine):
    """The same graphs compiled for one GPU by TensorRT; what that does not take goes to CUDA's kernels."""

    providers = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")


def _dtype(onnx_type: str) -> str:
    inner = onnx_type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(inner, inner)


def _shape(shape: list[int | str | None]) -> tuple[int | None, ...]:
    return tuple(length if isinstance(length, int) else None for length in shape)
