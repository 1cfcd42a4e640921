"""Small real things for tests, of this project and of yours: a working bundle, made in milliseconds without training.

N examples, H height, W width, C channels, F = C·H·W features, D embedding, K classes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from loopline.bundle import UNSEALED, image_signature, list_files, pack_arrays, pack_reference, write_bundle
from loopline.core.records import DatasetRef, ModelBundle, Parity, Reference, Runtime, TransformStep
from loopline.core.store import digest_bytes
from loopline.core.tables import resolve
from loopline.predictor import ENGINES
from loopline.predictor.agreement import disagreement
from loopline.transforms import Pipeline, build_pipeline, build_postprocess, image_steps

Arrays = Mapping[str, NDArray[np.float32]]
_NUM_EXAMPLES, _NUM_REFERENCE, _NUM_EMBEDDING = 200, 16, 8
_TOLERANCE = 1e-4
_POSTPROCESS = (TransformStep(name="softmax"),)


def make_bundle(
    folder: Path,
    *,
    label_names: Sequence[str] = ("circle", "cross", "square"),
    height: int = 28,
    width: int = 28,
    mode: Literal["L", "RGB"] = "L",
    seed: int = 0,
    name: str = "tiny",
) -> Path:
    """Writes a bundle to `folder`/NAME-DIGEST and returns that path; `folder` may be a workspace's `bundles`.

    Its graph is a random linear network over `height` × `width` pixels with outputs `logits` and `embedding` (8 wide);
    its 16 reference inputs and 200 drift examples are noise. The expected outputs were computed in NumPy, not by the
    engine that is held to them. The same arguments give the same bundle. Needs the packages onnx and onnxruntime.
    """
    num_channels = 1 if mode == "L" else 3
    steps = image_steps(height=height, width=width, mode=mode, mean=[0.5] * num_channels, std=[0.25] * num_channels)
    pipeline = build_pipeline(steps)
    generator = np.random.default_rng(seed)
    num_features = num_channels * height * width
    weights_FD = (generator.normal(size=(num_features, _NUM_EMBEDDING)) / np.sqrt(num_features)).astype(np.float32)
    weights_DK = generator.normal(size=(_NUM_EMBEDDING, len(label_names))).astype(np.float32)
    raws = [make_png(height=height, width=width, mode=mode, seed=seed * 1000 + index) for index in range(_NUM_EXAMPLES)]
    x_NCHW = pipeline.collate(np.stack([pipeline.decode(raw) for raw in raws]))
    embedding_ND = np.maximum(x_NCHW.reshape(len(raws), -1) @ weights_FD, 0)
    expected = {"logits": embedding_ND @ weights_DK, "embedding": embedding_ND}
    graph = _linear_graph(weights_FD, weights_DK, shape=pipeline.shape)
    engine = resolve(ENGINES, "onnxruntime", kind="engine")(graph, num_threads=1)
    error = disagreement(engine.run({"x": x_NCHW}, ["logits", "embedding"]), expected)
    files = _files(graph, raws, expected, name=name)
    return write_bundle(folder, _unsealed(name, tuple(label_names), pipeline, files, error=error), files)


def make_png(*, height: int = 28, width: int = 28, mode: Literal["L", "RGB"] = "L", seed: int = 0) -> bytes:
    """A PNG file of noise; every seed gives another one."""
    from PIL import Image

    shape = (height, width) if mode == "L" else (height, width, 3)
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _files(graph: bytes, raws: list[bytes], expected: Arrays, *, name: str) -> dict[str, bytes]:
    first = {output: array[:_NUM_REFERENCE] for output, array in expected.items()}
    probability_NK = build_postprocess(_POSTPROCESS)(dict(expected))["probability"]
    return {
        "graph.onnx": graph,
        "reference.npz": pack_reference(raws[:_NUM_REFERENCE], first),
        "drift.npz": pack_arrays({"embedding": expected["embedding"], "probability": probability_NK}),
        "card.md": f"# {name}\n\nA random network for tests. It knows nothing.\n".encode(),
    }


def _unsealed(
    name: str, label_names: tuple[str, ...], pipeline: Pipeline, files: dict[str, bytes], *, error: float
) -> ModelBundle:
    inputs, outputs = image_signature(pipeline.shape, num_labels=len(label_names), num_embedding=_NUM_EMBEDDING)
    return ModelBundle(
        name=name,
        digest=UNSEALED,
        task="classification",
        input_kind="image",
        inputs=inputs,
        outputs=outputs,
        preprocess=pipeline.steps,
        postprocess=build_postprocess(_POSTPROCESS).steps,
        graphs={"float32": "graph.onnx"},
        label_names=label_names,
        run_id="made-for-tests",
        dataset=DatasetRef(name="noise", version=digest_bytes(b"noise")),
        metrics={"validation/accuracy": 1 / len(label_names)},
        parity=Parity(num_inputs=_NUM_EXAMPLES, max_abs_error=error, tolerance=_TOLERANCE),
        reference=Reference(
            inputs_file="reference.npz",
            num_inputs=_NUM_REFERENCE,
            tolerance=10 * _TOLERANCE,
            drift_file="drift.npz",
            drift_split="validation",
            num_drift=_NUM_EXAMPLES,
        ),
        runtime=Runtime(engine="onnxruntime", version=version("onnxruntime"), minimum_version="1.22.0"),
        licence="CC0-1.0",
        files=list_files(files),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def _linear_graph(
    weights_FD: NDArray[np.float32], weights_DK: NDArray[np.float32], *, shape: tuple[int, int, int]
) -> bytes:
    """x_NCHW → flatten → ReLU(x · weights_FD) → embedding → · weights_DK → logits, as the bytes of an ONNX graph."""
    from onnx import TensorProto, checker, helper, numpy_helper

    height, width, num_channels = shape
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights_FD"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "weights_DK"], ["logits"]),
    ]
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "linear",
        [tensor("x", TensorProto.FLOAT, ["batch", num_channels, height, width])],
        [
            tensor("logits", TensorProto.FLOAT, ["batch", weights_DK.shape[1]]),
            tensor("embedding", TensorProto.FLOAT, ["batch", weights_DK.shape[0]]),
        ],
        [numpy_helper.from_array(weights_FD, "weights_FD"), numpy_helper.from_array(weights_DK, "weights_DK")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
