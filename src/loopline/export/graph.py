"""A torch module as an ONNX graph with a free batch axis."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch import nn

from loopline.core.errors import InputError


def export_graph(network: nn.Module, *, shape: tuple[int, ...], input_name: str, head: str) -> bytes:
    """The graph of a network that takes (N, *shape) float32, as the bytes of a checked ONNX model.

    Its input is called `input_name`, its outputs `head` and `embedding`. The network is left in evaluation mode on the
    CPU. Raises `InputError` where the network cannot take `shape`.
    """
    network = network.eval().cpu()
    example = torch.zeros(2, *shape)
    _check_takes(network, example)
    return _exported(network, example, input_name, [head, "embedding"], {0: torch.export.Dim("batch", min=1)})


def export_token_graph(encoder: nn.Module, *, input_name: str, output_name: str) -> bytes:
    """The graph of a module that takes padded token ids (N, S) int64 and gives (N, D), both N and S free.

    The module is left in evaluation mode on the CPU.
    """
    free = torch.export.Dim.DYNAMIC
    # Of unequal lengths, so that the padding is part of what is traced.
    example = torch.tensor([[5, 6, 7, 8, 1], [9, 1, 0, 0, 0]])
    return _exported(encoder.eval().cpu(), example, input_name, [output_name], {0: free, 1: free})


def _exported(
    network: nn.Module, example: torch.Tensor, input_name: str, output_names: list[str], free_axes: dict[int, Any]
) -> bytes:
    """A checked graph without the exporter's notes, which hold paths of this machine and make equal graphs differ."""
    with _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[input_name],
            output_names=output_names,
            dynamic_shapes=(free_axes,),
        )
    if program is None:
        raise AssertionError("torch.onnx.export with dynamo=True returns a program")
    model: onnx.ModelProto = program.model_proto
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    graph: bytes = model.SerializeToString(deterministic=True)
    return graph


def _check_takes(network: nn.Module, example: torch.Tensor) -> None:
    """The exporter would wrap the same error into a page about itself."""
    try:
        with torch.inference_mode():
            network(example)
    except RuntimeError as error:
        shape = " × ".join(map(str, example.shape[1:]))
        raise InputError(f"the network cannot take {shape} inputs, which the preprocess gives: {error}.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter from telling users what is no concern of theirs."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    # It logs a line for each operator of torchvision where that is not installed.
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # torch 2.13 warns of its own use of a class that it deprecates.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            yield
    finally:
        registration.setLevel(level)
