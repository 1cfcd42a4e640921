"""Recipes `float16` and `bfloat16`: half of the bits for every number, where the processor computes with them."""

from __future__ import annotations

import platform
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from loopline.core.errors import EXTRA_OF_PACKAGE, MissingExtra, StateError
from loopline.optimization.workbench import Draft, OptimizeSettings, Workbench
from loopline.predictor.engine import BFLOAT16, BFLOAT16_ENGINE

# What processors call their instructions for each kind of number, as Linux lists them.
INSTRUCTIONS = {
    "float16": ("avx512_fp16", "amx_fp16", "asimdhp"),
    "bfloat16": ("avx512_bf16", "amx_bf16", "bf16"),
}
# Eleven bits of a fraction: relative errors of 5e-4 in each of some dozens of layers.
HALF_TOLERANCE = 0.05


def halve(draft: Draft, _bench: Workbench, _settings: OptimizeSettings) -> Draft:
    """Weights and activations in float16; inputs and outputs stay float32.

    Raises `StateError` where the processor would turn every number back to float32 first, which costs time.
    """
    require("float16")
    graph = half_graph(draft.graph)
    return draft.then("float16", graph, role="float16", note="weights of 16 bits", tolerance=HALF_TOLERANCE)


def halve_exponents_kept(draft: Draft, _bench: Workbench, _settings: OptimizeSettings) -> Draft:
    """The float32 graph, computed in bfloat16 by OpenVINO, which alone of the engines does that on a CPU.

    Raises `StateError` as `halve` does, and `MissingExtra` without OpenVINO.
    """
    require(BFLOAT16)
    if find_spec(BFLOAT16_ENGINE) is None:
        raise MissingExtra(BFLOAT16_ENGINE, EXTRA_OF_PACKAGE[BFLOAT16_ENGINE])
    rounded = draft.then(BFLOAT16, draft.graph, role=BFLOAT16, note="computed in 16 bits", tolerance=HALF_TOLERANCE)
    return replace(rounded, engine=BFLOAT16_ENGINE)


def half_graph(graph: bytes) -> bytes:
    """A graph whose inner numbers are float16, between conversions at its ends."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        # It tells of every weight too small for float16, which becomes the smallest that is.
        warnings.simplefilter("ignore")
        model = convert_float_to_float16(onnx.load_from_string(graph), keep_io_types=True)
    half: bytes = model.SerializeToString(deterministic=True)
    return half


def require(kind: str) -> None:
    """Raises `StateError` where this processor has no instructions for such numbers."""
    if not set(INSTRUCTIONS[kind]) & processor_flags():
        raise StateError(
            f"this processor ({platform.machine()}) has no instructions for {kind}; none of them would gain."
        )


def processor_flags() -> frozenset[str]:
    """What Linux says that the processor can do; empty on other systems."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = [line.partition(":")[2] for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return frozenset(" ".join(lines[:1]).split())
