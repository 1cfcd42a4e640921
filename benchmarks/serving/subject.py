"""What is served: photographs, an EfficientNet-Lite0 over them, a tiny network, and what peers need to know of each."""

from __future__ import annotations

import base64
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from loopline.bundle import read_bundle
from loopline.core.records import DatasetRef, Parity, TransformStep
from loopline.core.store import digest_bytes
from loopline.transforms import build_pipeline, faster_steps

BOUNDARY = "loopline-benchmark"
NUM_PHOTOS = 16
_LABELS = tuple(f"label-{index}" for index in range(10))


def photos_of(folder: Path | None) -> list[bytes]:
    """The first JPEG files of a folder, by name; without one, made-up pictures of 400×533 and about 30 kB."""
    if folder is None:
        return [_made_up(seed) for seed in range(NUM_PHOTOS)]
    return [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[:NUM_PHOTOS]]


def make_bundles(folder: Path, photos: list[bytes]) -> tuple[Path, Path]:
    """EfficientNet-Lite0 with ImageNet's weights and a new head, with the usual preprocess and with the quick one."""
    from loopline.export.graph import export_graph
    from loopline.networks.timm import TimmConfig

    config = TimmConfig(architecture="tf_efficientnet_lite0", weights="package")
    network = config.build(input_shape=(3, 224, 224), num_outputs=len(_LABELS))
    config.start(network, input_shape=(3, 224, 224), num_outputs=len(_LABELS))
    graph = export_graph(network, shape=(3, 224, 224), input_name="image", head="logits")
    steps = (
        TransformStep(name="decode_image", params={"mode": "RGB"}),
        TransformStep(name="resize", params={"height": 224, "width": 224, "resampling": "bicubic"}),
        TransformStep(name="normalize", params={"mean": [0.5] * 3, "std": [0.5] * 3}),
    )
    return _bundle(folder, "lite0", graph, steps, photos), _bundle(
        folder, "lite0-fast", graph, faster_steps(steps), photos
    )


def _bundle(folder: Path, name: str, graph: bytes, steps: tuple[TransformStep, ...], photos: list[bytes]) -> Path:
    from loopline.export.assemble import BundleFacts, BundleParts, assemble_bundle

    pipeline = build_pipeline(steps)
    facts = BundleFacts(
        name=name,
        run_id="made-for-benchmarks",
        dataset=DatasetRef(name="photos", version=digest_bytes(b"".join(photos))),
        label_names=_LABELS,
        licence="Apache-2.0",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        metrics={},
        held_out_split="validation",
    )
    parts = BundleParts(
        graph=graph,
        preprocess=pipeline.steps,
        postprocess=(TransformStep(name="softmax"),),
        reference_raws=photos[:8],
        drift_examples=np.stack([pipeline.decode(raw) for raw in photos]),
    )
    # The graph is what is measured; there is no checkpoint that it could differ from.
    return assemble_bundle(folder, parts, facts, parity=Parity(num_inputs=8, max_abs_error=0, tolerance=1e-4))


def write_contract(bundle_folder: Path, path: Path) -> Path:
    """What `peers/model.py` reads, from a bundle's record; returns the path."""
    bundle = read_bundle(bundle_folder)
    params = {step.name: step.params for step in bundle.preprocess}
    contract = {
        "graph": str((bundle_folder / next(iter(bundle.graphs.values()))).resolve()),
        "input": bundle.inputs[0].name,
        "mode": params["decode_image"]["mode"],
        "height": params["resize"]["height"],
        "width": params["resize"]["width"],
        "resampling": params["resize"]["resampling"],
        "mean": params["normalize"]["mean"],
        "std": params["normalize"]["std"],
        "label_names": bundle.label_names,
    }
    path.write_text(json.dumps(contract))
    return path


def labels_of(bundle_folder: Path, pictures: list[bytes], *, engine: str | None) -> list[str]:
    """What the bundle says to each picture, without any server."""
    from loopline.predictor import open_predictor

    return [answer.predicted for answer in open_predictor(bundle_folder, engine=engine).predict_raw(pictures)]


def bodies_of(pictures: list[bytes], *, kind: str) -> tuple[str, list[bytes]]:
    """The content type and the bodies that ask for each picture: `multipart`, or MLflow's `json` with base64."""
    if kind == "json":
        tables = [{"columns": ["file"], "data": [[base64.b64encode(raw).decode()]]} for raw in pictures]
        return "application/json", [json.dumps({"dataframe_split": table}).encode() for table in tables]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="picture.jpg"\r\n'
    start, end = f"{head}Content-Type: image/jpeg\r\n\r\n".encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
    return f"multipart/form-data; boundary={BOUNDARY}", [start + raw + end for raw in pictures]


def _made_up(seed: int) -> bytes:
    """Coarse and fine structure, as photographs have, at a quality that gives the usual number of bytes."""
    generator = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(generator.integers(0, 256, size=(height, width, 3), dtype=np.uint8)).resize(
                (400, 533), Image.Resampling.BICUBIC
            ),
            np.float32,
        )
        for height, width in ((5, 4), (24, 18), (133, 100))
    ]
    x_HWC = np.clip(0.6 * layers[0] + 0.25 * layers[1] + 0.15 * layers[2], 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(x_HWC).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
