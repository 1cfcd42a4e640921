"""Small real things for tests, of this project and of yours: a working bundle, made in milliseconds without training.

N examples, H height, W width, C channels, F = C·H·W features, D embedding, K outputs.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from loopline.core.records import DatasetRef, Parity, TransformStep
from loopline.core.store import digest_bytes
from loopline.export.assemble import BundleFacts, BundleParts, assemble_bundle, graph_outputs
from loopline.predictor.agreement import disagreement
from loopline.predictor.onnx import OnnxEngine
from loopline.transforms import build_pipeline, image_steps
from loopline.transforms.outputs import HEADS

_NUM_EXAMPLES, _NUM_REFERENCE, _NUM_EMBEDDING = 200, 16, 8
_TOLERANCE = 1e-4
# Height and width.
_BAND_SIZE = (8, 6)


def make_bundle(
    folder: Path,
    *,
    label_names: Sequence[str] = ("circle", "cross", "square"),
    height: int = 28,
    width: int = 28,
    mode: Literal["L", "RGB"] = "L",
    seed: int = 0,
) -> Path:
    """Writes a bundle named `tiny` to a new folder in `folder`, which may be a workspace's `bundles`; returns its path.

    Its graph is a random network of one layer over `height` × `width` pixels, with outputs `logits` and `embedding` (8
    wide); its 16 reference inputs and 200 drift examples are noise; its parity is measured against NumPy. The same
    arguments give the same bundle. Needs the packages onnx and onnxruntime, and no torch.
    """
    num_channels = 1 if mode == "L" else 3
    steps = image_steps(height=height, width=width, mode=mode, mean=[0.5] * num_channels, std=[0.25] * num_channels)
    raws = [make_png(height=height, width=width, mode=mode, seed=1000 * seed + index) for index in range(_NUM_EXAMPLES)]
    facts = _facts("tiny", metrics={"validation/accuracy": 1 / len(label_names)}, label_names=tuple(label_names))
    postprocess = (TransformStep(name="softmax"),)
    parts, parity = _parts(raws, steps, postprocess, num_outputs=len(label_names), seed=seed)
    return assemble_bundle(folder, parts, facts, parity=parity)


def make_value_bundle(
    folder: Path,
    *,
    num_features: int = 3,
    bands: Sequence[str] = (),
    unit: str | None = "kg",
    is_confidential: bool = False,
    seed: int = 0,
) -> Path:
    """Writes a bundle named `tiny-value` to a new folder in `folder`; returns its path.

    As `make_bundle`, but a regression: rows of `num_features` numbers, or pictures of 8 × 6 pixels of each of the
    `bands`, to a `value` of about 20 `unit`, at least 0, with an interval of ± 2.5 that states a coverage of 0.9. The
    reference inputs of an `is_confidential` one count as simulated. With `bands` it needs the package tifffile.
    """
    steps = _band_steps(tuple(bands)) if bands else _row_steps(num_features)
    decoder, generator = build_pipeline(steps).decoder, np.random.default_rng(seed)
    shape = (*_BAND_SIZE, len(bands)) if bands else (num_features,)
    raws = [decoder.simulate(shape, generator) for _ in range(_NUM_EXAMPLES)]
    postprocess = (
        TransformStep(name="affine", params={"scale": 2.0, "offset": 20.0}),
        TransformStep(name="clip", params={"minimum": 0.0}),
        TransformStep(name="interval", params={"radius": 2.5, "coverage": 0.9, "minimum": 0.0}),
    )
    facts = replace(
        _facts("tiny-value", metrics={"validation/mae": 1.0}),
        task="regression",
        unit=unit,
        simulated_raws=raws[:_NUM_REFERENCE] if is_confidential else (),
    )
    parts, parity = _parts(raws, steps, postprocess, num_outputs=1, seed=seed)
    return assemble_bundle(folder, parts, facts, parity=parity)


def _row_steps(num_features: int) -> tuple[TransformStep, ...]:
    scale = {"mean": [0.0] * num_features, "std": [1.0] * num_features}
    return (
        TransformStep(name="decode_values", params={"size": [num_features]}),
        TransformStep(name="standardize", params=scale),
    )


def _band_steps(bands: tuple[str, ...]) -> tuple[TransformStep, ...]:
    height, width = _BAND_SIZE
    scale = {"mean": [0.3] * len(bands), "std": [0.1] * len(bands)}
    return (
        TransformStep(name="decode_bands", params={"bands": list(bands)}),
        TransformStep(name="resize_bands", params={"height": height, "width": width}),
        TransformStep(name="normalize_bands", params=scale),
    )


def make_png(*, height: int = 28, width: int = 28, mode: Literal["L", "RGB"] = "L", seed: int = 0) -> bytes:
    """A PNG file of noise; every seed gives another one."""
    from PIL import Image

    shape = (height, width) if mode == "L" else (height, width, 3)
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _parts(
    raws: Sequence[bytes],
    preprocess: tuple[TransformStep, ...],
    postprocess: tuple[TransformStep, ...],
    *,
    num_outputs: int,
    seed: int,
) -> tuple[BundleParts, Parity]:
    """A random network between the steps, a classifier where they end in softmax; its parity is against NumPy."""
    pipeline = build_pipeline(preprocess)
    decoded_N = np.stack([pipeline.decode(raw) for raw in raws])
    x_N = pipeline.collate(decoded_N)
    x_NF = x_N.reshape(len(raws), -1)
    generator = np.random.default_rng(seed)
    num_features = x_NF.shape[1]
    weights_FD = (generator.normal(size=(num_features, _NUM_EMBEDDING)) / np.sqrt(num_features)).astype(np.float32)
    weights_DK = generator.normal(size=(_NUM_EMBEDDING, num_outputs)).astype(np.float32)
    head = HEADS["classification" if postprocess[-1].name == "softmax" else "regression"]
    graph = _graph(weights_FD, weights_DK, shape=pipeline.input_shape, head=head)
    embedding_ND = np.maximum(x_NF @ weights_FD, 0)
    expected = {head: embedding_ND @ weights_DK, "embedding": embedding_ND}
    error = disagreement(graph_outputs(OnnxEngine(graph), x_N), expected)
    parts = BundleParts(
        graph=graph,
        preprocess=pipeline.steps,
        postprocess=postprocess,
        reference_raws=raws[:_NUM_REFERENCE],
        drift_examples=decoded_N,
    )
    return parts, Parity(num_inputs=len(raws), max_abs_error=error, tolerance=_TOLERANCE)


def _facts(name: str, *, metrics: dict[str, float], label_names: tuple[str, ...] = ()) -> BundleFacts:
    return BundleFacts(
        name=name,
        run_id="made-for-tests",
        dataset=DatasetRef(name="noise", version=digest_bytes(b"noise")),
        label_names=label_names,
        licence="CC0-1.0",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        metrics=metrics,
        held_out_split="validation",
    )


def _graph(
    weights_FD: NDArray[np.float32], weights_DK: NDArray[np.float32], *, shape: tuple[int, ...], head: str
) -> bytes:
    """Flatten → MatMul → ReLU (`embedding`) → MatMul (`head`), as the bytes of an ONNX graph over `shape`."""
    from onnx import TensorProto, checker, helper, numpy_helper

    given = "image" if len(shape) == 3 else "values"
    nodes = [
        helper.make_node("Flatten", [given], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights_FD"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "weights_DK"], [head]),
    ]
    tensor = helper.make_tensor_value_info
    num_embedding, num_outputs = weights_DK.shape
    graph = helper.make_graph(
        nodes,
        "tiny",
        [tensor(given, TensorProto.FLOAT, ["batch", *shape])],
        [
            tensor(head, TensorProto.FLOAT, ["batch", num_outputs]),
            tensor("embedding", TensorProto.FLOAT, ["batch", num_embedding]),
        ],
        [numpy_helper.from_array(weights_FD, "weights_FD"), numpy_helper.from_array(weights_DK, "weights_DK")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
