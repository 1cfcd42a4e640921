"""Small real things for tests, of this project and of yours: a working bundle, made in milliseconds without training.

N examples, H height, W width, C channels, F = C·H·W features, D embedding, K classes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
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

_NUM_EXAMPLES, _NUM_REFERENCE, _NUM_EMBEDDING = 200, 16, 8
_TOLERANCE = 1e-4


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
    pipeline = build_pipeline(steps)
    raws = [make_png(height=height, width=width, mode=mode, seed=1000 * seed + index) for index in range(_NUM_EXAMPLES)]
    decoded_NHWC = np.stack([pipeline.decode(raw) for raw in raws])
    x_NCHW = pipeline.collate(decoded_NHWC)
    generator = np.random.default_rng(seed)
    num_features = num_channels * height * width
    weights_FD = (generator.normal(size=(num_features, _NUM_EMBEDDING)) / np.sqrt(num_features)).astype(np.float32)
    weights_DK = generator.normal(size=(_NUM_EMBEDDING, len(label_names))).astype(np.float32)
    graph = _graph(weights_FD, weights_DK, shape=(num_channels, height, width))
    embedding_ND = np.maximum(x_NCHW.reshape(len(raws), num_features) @ weights_FD, 0)
    expected = {"logits": embedding_ND @ weights_DK, "embedding": embedding_ND}
    error = disagreement(graph_outputs(OnnxEngine(graph), x_NCHW), expected)
    parts = BundleParts(
        graph=graph,
        preprocess=steps,
        postprocess=(TransformStep(name="softmax"),),
        reference_raws=raws[:_NUM_REFERENCE],
        drift_examples=decoded_NHWC,
    )
    parity = Parity(num_inputs=len(raws), max_abs_error=error, tolerance=_TOLERANCE)
    return assemble_bundle(folder, parts, _facts(tuple(label_names)), parity=parity)


def make_png(*, height: int = 28, width: int = 28, mode: Literal["L", "RGB"] = "L", seed: int = 0) -> bytes:
    """A PNG file of noise; every seed gives another one."""
    from PIL import Image

    shape = (height, width) if mode == "L" else (height, width, 3)
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _facts(label_names: tuple[str, ...]) -> BundleFacts:
    return BundleFacts(
        name="tiny",
        run_id="made-for-tests",
        dataset=DatasetRef(name="noise", version=digest_bytes(b"noise")),
        label_names=label_names,
        licence="CC0-1.0",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        metrics={"validation/accuracy": 1 / len(label_names)},
        held_out_split="validation",
    )


def _graph(weights_FD: NDArray[np.float32], weights_DK: NDArray[np.float32], *, shape: tuple[int, int, int]) -> bytes:
    """Flatten → MatMul → ReLU (`embedding`) → MatMul (`logits`), as the bytes of an ONNX graph over (C, H, W)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights_FD"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "weights_DK"], ["logits"]),
    ]
    tensor = helper.make_tensor_value_info
    num_embedding, num_labels = weights_DK.shape
    graph = helper.make_graph(
        nodes,
        "tiny",
        [tensor("image", TensorProto.FLOAT, ["batch", *shape])],
        [
            tensor("logits", TensorProto.FLOAT, ["batch", num_labels]),
            tensor("embedding", TensorProto.FLOAT, ["batch", num_embedding]),
        ],
        [numpy_helper.from_array(weights_FD, "weights_FD"), numpy_helper.from_array(weights_DK, "weights_DK")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
