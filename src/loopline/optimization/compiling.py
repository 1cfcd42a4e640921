"""`torch-compile` and `torch-aot`: what the checkpoint itself gains from PyTorch's compiler, to compare with.

Compiled code does not travel in a bundle: it is of one processor and one version of PyTorch, and it would execute.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from loopline.core.errors import StateError
from loopline.optimization.workbench import Workbench
from loopline.predictor import Predictor
from loopline.predictor.engine import Tensors

Outputs = tuple[Tensor, ...]


class TorchEngine:
    """A compiled network behind the seam of engines."""

    def __init__(self, run: Callable[[Tensor], Outputs], like: Predictor) -> None:
        """Takes a function of a batch, and the predictor whose inputs and outputs it has."""
        self._run = run
        self.inputs: Tensors = like.engine.inputs
        self.outputs: Tensors = like.engine.outputs
        self.num_threads = torch.get_num_threads()

    def run(self, inputs: Mapping[str, NDArray[np.generic]], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """One batch through the network: the named outputs."""
        (x_N,) = inputs.values()
        with torch.inference_mode():
            outputs = self._run(torch.from_numpy(np.asarray(x_N)))
        # The head first, then the embedding, as every network returns them.
        head = next(name for name in self.outputs if name != "embedding")
        found = dict(zip((head, "embedding"), outputs, strict=True))
        return {name: found[name].numpy() for name in names}


def compile_lazily(bench: Workbench) -> Predictor:
    """The run's network through `torch.compile`, for batches of any size; raises `StateError` as `network` does."""
    network = bench.network()
    torch._dynamo.reset()
    compiled: Callable[[Tensor], Outputs] = torch.compile(network, dynamic=True)
    return _predictor(bench, compiled)


def compile_ahead(bench: Workbench) -> Predictor:
    """The run's network as a library that AOTInductor compiled; raises as `compile_lazily` does."""
    network = bench.network()
    parent = _parent(bench)
    example = torch.zeros(2, *parent.pipeline.input_shape)
    program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    with tempfile.TemporaryDirectory() as folder:
        package = torch._inductor.aoti_compile_and_package(program, package_path=str(Path(folder) / "network.pt2"))
        loaded: Any = torch._inductor.aoti_load_package(package)
    return _predictor(bench, loaded)


def _predictor(bench: Workbench, run: Callable[[Tensor], Outputs]) -> Predictor:
    """The parent with another engine, tried once: compilers fail at the first call."""
    parent = _parent(bench)
    predictor = Predictor(parent.bundle, parent.folder, TorchEngine(run, parent))
    try:
        predictor.verify()
    except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
        raise StateError(f"PyTorch cannot compile the network here: {(str(error).splitlines() or [''])[0]}") from error
    return predictor


def _parent(bench: Workbench) -> Predictor:
    if not isinstance(bench.parent, Predictor):
        raise StateError(f"a bundle of the task {bench.parent.bundle.task} has no single graph to compile.")
    return bench.parent


def num_bytes(network: nn.Module) -> int:
    """The bytes of the weights."""
    return sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
