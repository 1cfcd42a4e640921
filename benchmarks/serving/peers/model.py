"""What every peer computes: Pillow decodes and resizes, ONNX Runtime predicts on one thread, five labels come back.

    MODEL=contract.json python SERVER.py

Knows nothing of Loopline: it runs in the peers' own environment. `contract.json` says which graph, size, statistics and
names; the benchmark writes it from the bundle.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

CONTRACT = json.loads(Path(os.environ["MODEL"]).read_text())


class Model:
    """The graph of the bundle, as a tutorial would use it."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(CONTRACT["graph"], options, providers=["CPUExecutionProvider"])
        self._mean = np.array(CONTRACT["mean"], np.float32)
        self._std = np.array(CONTRACT["std"], np.float32)

    def decode(self, raw: bytes) -> NDArray[np.float32]:
        """A file's bytes to x_CHW, normalized."""
        size = (CONTRACT["width"], CONTRACT["height"])
        resampling = Image.Resampling[CONTRACT["resampling"].upper()]
        image = Image.open(io.BytesIO(raw)).convert(CONTRACT["mode"]).resize(size, resampling)
        x_HWC = np.asarray(image, np.float32).reshape(*size[::-1], -1) / 255
        return ((x_HWC - self._mean) / self._std).transpose(2, 0, 1)

    def predict(self, samples: Sequence[NDArray[np.float32]]) -> list[dict[str, object]]:
        """Decoded pictures to the five likeliest labels of each."""
        (logits_NK,) = self._session.run(["logits"], {CONTRACT["input"]: np.ascontiguousarray(np.stack(samples))})
        exp_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
        return [self._answer(row_K) for row_K in exp_NK / exp_NK.sum(axis=1, keepdims=True)]

    def predict_raw(self, raw: bytes) -> dict[str, object]:
        """One file."""
        return self.predict([self.decode(raw)])[0]

    @staticmethod
    def _answer(probability_K: NDArray[np.float32]) -> dict[str, object]:
        names, order = CONTRACT["label_names"], np.argsort(-probability_K)[:5]
        probabilities = {names[index]: float(probability_K[index]) for index in order}
        return {"label": names[order[0]], "probabilities": probabilities}
