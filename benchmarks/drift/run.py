"""How often `loopline drift` sees a change: corrupted test pictures of Fashion-MNIST through a real bundle.

    python benchmarks/drift/run.py --bundle latest

The bundle's own drift reference is compared with windows of 50, 200 and 1,000 predictions, drawn from its snapshot's
test split, as they are and corrupted. Prints, per corruption: accuracy, and the windows in which drift was reported.
The row `as they are` is the rate of false alarms.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loopline.bundle import read_drift_reference
from loopline.core.progress import track
from loopline.core.workspace import Workspace
from loopline.monitoring import DriftSample, DriftSubject, detect_drift
from loopline.predictor import Predictor, open_predictor
from loopline.snapshots import decoded_inputs
from loopline.subjects import bundle_folder, open_dataset

WINDOWS = (50, 200, 1000)
RESULTS = Path(__file__).parent / "results" / "latest.json"
BATCH = 500

# x_NHWC as float64 from 0 to 255, to corrupted pixels that are rounded and clipped afterwards.
Corruption = Callable[[NDArray[np.float64]], NDArray[np.float64]]
CORRUPTIONS: dict[str, Corruption] = {
    "as they are": lambda x: x,
    "noise, σ 8 of 255": lambda x: x + np.random.default_rng(0).normal(0, 8, x.shape),
    "noise, σ 16": lambda x: x + np.random.default_rng(0).normal(0, 16, x.shape),
    "contrast × 0.9": lambda x: 0.9 * x,
    "contrast × 0.8": lambda x: 0.8 * x,
    "brighter by 5": lambda x: x + 5,
    "brighter by 10": lambda x: x + 10,
    "moved by 1 pixel": lambda x: np.roll(x, 1, axis=2),
    "blurred over 2×2": lambda x: (x + np.roll(x, 1, 1) + np.roll(x, 1, 2) + np.roll(x, (1, 1), (1, 2))) / 4,
    "mirrored": lambda x: x[:, :, ::-1],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="latest", help="a bundle with the task classification (default latest)")
    parser.add_argument("--home", type=Path, help="workspace folder (default as the command's)")
    parser.add_argument("--repetitions", type=int, default=50, help="windows of each size (default 50)")
    options = parser.parse_args()
    workspace = Workspace(options.home) if options.home else Workspace.default()
    folder = bundle_folder(options.bundle, workspace)
    predictor = open_predictor(folder)
    if not isinstance(predictor, Predictor) or predictor.bundle.task != "classification":
        parser.error(f"bundle '{folder}' is not one that classifies pictures")
    bundle = predictor.bundle
    arrays = read_drift_reference(folder, bundle)
    reference = DriftSample(arrays["embedding"], arrays["outputs"])
    drift_digest = bundle.files[bundle.reference.drift_file].digest
    subject = DriftSubject(bundle.name, bundle.digest, drift_digest, bundle.task, bundle.label_names)
    reader = open_dataset(bundle.dataset, workspace).split("test")
    x_NHWC = np.asarray(decoded_inputs(reader, predictor.pipeline, workspace.cache))
    rows = {}
    for name, corruption in CORRUPTIONS.items():
        pixels_NHWC = np.clip(np.rint(corruption(x_NHWC.astype(np.float64))), 0, 255)
        sample = predict(predictor, pixels_NHWC.astype(np.uint8))
        accuracy = float((sample.outputs_NK.argmax(axis=1) == reader.targets).mean())
        detected = [count_reports(reference, sample, subject, size, options.repetitions) for size in WINDOWS]
        rows[name] = {"accuracy": accuracy, "detected": detected}
        print(f"| {name} | {accuracy:.3f} | " + " | ".join(str(count) for count in detected) + " |", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    result = {"windows": WINDOWS, "repetitions": options.repetitions, "num_reference": len(reference), "rows": rows}
    RESULTS.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def predict(predictor: Predictor, x_NHWC: NDArray[np.uint8]) -> DriftSample:
    """Embeddings and probabilities of decoded pictures, as the server computes them."""
    parts = [
        predictor.predict_columns(list(x_NHWC[start : start + BATCH]))
        for start in track(range(0, len(x_NHWC), BATCH), "predicting", total=-(-len(x_NHWC) // BATCH))
    ]
    return DriftSample(
        np.concatenate([part.embedding_ND for part in parts]), np.concatenate([part.outputs_NK for part in parts])
    )


def count_reports(
    reference: DriftSample, sample: DriftSample, subject: DriftSubject, size: int, repetitions: int
) -> int:
    """In how many of `repetitions` random windows of `size` predictions drift is reported."""
    rng = np.random.default_rng(size)
    count = 0
    for seed in range(repetitions):
        chosen = rng.choice(len(sample), size, replace=False)
        window = DriftSample(sample.embedding_ND[chosen], sample.outputs_NK[chosen])
        count += detect_drift(reference, window, subject, seed=seed).drifted
    return count


if __name__ == "__main__":
    main()
