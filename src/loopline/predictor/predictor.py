"""A bundle, opened: decode, transform, run the graph, name the answer.

N examples, H height, W width, C channels, K classes, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.bundle import read_bundle, read_file, read_reference
from loopline.core.errors import (
    ConfigError,
    IntegrityError,
    InvalidExample,
    LooplineError,
    MissingExtra,
    SkewError,
    StateError,
)
from loopline.core.records import ModelBundle
from loopline.core.tables import resolve
from loopline.predictor.agreement import disagreement, num_changed_labels
from loopline.predictor.answer import Answer
from loopline.predictor.engine import ENGINES, Engine, check_tensors
from loopline.transforms import Pipeline, build_pipeline, build_postprocess

# The role of the graph that answers; later issues add quantized ones.
GRAPH_ROLE = "float32"
# Activations of a batch live in memory together; past some dozens a larger batch gains nothing on a CPU.
_MAX_BATCH = 64


def open_predictor(folder: Path, *, num_threads: int = 0, verify: bool = True) -> Predictor:
    """Opens the bundle in `folder`: checks every byte, loads the graph, and predicts the raw reference inputs.

    `num_threads` is the engine's (0: one per core). Raises `IntegrityError` for a changed bundle, `SkewError` for one
    that does not reproduce its reference predictions, `StateError` for an engine that is too old.
    """
    bundle = read_bundle(folder)
    if bundle.task != "classification" or bundle.input_kind != "image":
        raise ConfigError(
            f"bundle '{folder}' does {bundle.task} of {bundle.input_kind}; expected classification of image."
        )
    _check_runtime(bundle)
    if GRAPH_ROLE not in bundle.graphs:
        raise ConfigError(f"bundle '{folder}' has no graph '{GRAPH_ROLE}'; it has: {', '.join(bundle.graphs)}.")
    graph = read_file(folder, bundle, bundle.graphs[GRAPH_ROLE])
    engine: Engine = resolve(ENGINES, bundle.runtime.engine, kind="engine")(graph, num_threads=num_threads)
    predictor = Predictor(bundle, folder, engine)
    if verify:
        predictor.verify()
    return predictor


class Predictor:
    """An open bundle; every method is thread-safe, for nothing here changes after construction."""

    def __init__(self, bundle: ModelBundle, folder: Path, engine: Engine) -> None:
        """Takes a bundle that `read_bundle` checked and the engine that holds its graph; see `open_predictor`.

        Raises `IntegrityError` or `ConfigError` where transforms, graph and labels do not fit each other.
        """
        self.bundle = bundle
        self.folder = folder
        self.engine = engine
        self.pipeline = build_pipeline(bundle.preprocess)
        self._postprocess = build_postprocess(bundle.postprocess)
        check_tensors(engine.inputs, bundle.inputs, kind="inputs")
        check_tensors(engine.outputs, bundle.outputs, kind="outputs")
        _check_fit(bundle, self.pipeline)
        zeros = {
            output.name: np.zeros([length or 1 for length in output.shape], np.float32) for output in bundle.outputs
        }
        if "probability" not in self._postprocess(zeros):
            raise ConfigError(f"the postprocess of '{folder}' gives no 'probability'; expected softmax.")

    def decode(self, raw: bytes) -> NDArray[np.uint8]:
        """One file's bytes to x_HWC uint8; raises `InvalidExample`, and nothing else."""
        return self.pipeline.decode(raw)

    def from_array(self, values: Any) -> NDArray[np.uint8]:
        """Pixel values (array or nested lists, 0 to 255) to x_HWC uint8; raises `InvalidExample`, and nothing else."""
        return self.pipeline.from_array(values)

    def predict(self, samples: Sequence[NDArray[np.uint8]]) -> list[Answer]:
        """Decoded examples, as many as you like, to answers in their order.

        Raises `InvalidExample` for an array that `decode` did not make, `StateError` if the graph returns NaN.
        """
        if len(samples) == 0:
            return []
        outputs = self._postprocess(self.outputs(samples))
        return [
            self._answer(probability_K, embedding_D)
            for probability_K, embedding_D in zip(outputs["probability"], outputs["embedding"], strict=True)
        ]

    def predict_raw(self, raws: Sequence[bytes]) -> list[Answer]:
        """Files' bytes to answers in their order; raises `InvalidExample` for the first that is no picture."""
        return self.predict([self.decode(raw) for raw in raws])

    def outputs(self, samples: Sequence[NDArray[np.uint8]]) -> dict[str, NDArray[np.float32]]:
        """What the graph itself returns for decoded examples (at least one), by output name, before postprocessing."""
        for x_HWC in samples:
            if x_HWC.shape != self.pipeline.shape or x_HWC.dtype != np.uint8:
                shape = "×".join(map(str, self.pipeline.shape))
                raise InvalidExample(f"an array {x_HWC.dtype}{list(x_HWC.shape)} given; expected uint8 of {shape}.")
        names = [output.name for output in self.bundle.outputs]
        batches = [
            self.engine.run(
                {self.bundle.inputs[0].name: self.pipeline.collate(np.stack(samples[start : start + _MAX_BATCH]))},
                names,
            )
            for start in range(0, len(samples), _MAX_BATCH)
        ]
        outputs = {name: np.concatenate([batch[name] for batch in batches]) for name in names}
        broken = [name for name, array in outputs.items() if not np.isfinite(array).all()]
        if broken:
            raise StateError(f"the graph of '{self.folder}' returned NaN or infinity in {', '.join(broken)}.")
        return outputs

    def verify(self) -> None:
        """Decodes and predicts the raw reference inputs as if they came from outside.

        Raises `SkewError` where any step fails, an output differs by more than the bundle's tolerance, or a label
        changes that the tolerance does not excuse.
        """
        raws, expected = read_reference(self.folder, self.bundle)
        tolerance = self.bundle.reference.tolerance
        try:
            actual = self.outputs([self.decode(raw) for raw in raws])
        except LooplineError as error:
            raise SkewError(f"bundle '{self.folder}' cannot predict its reference inputs: {error}") from error
        worst = disagreement(actual, expected)
        changed = num_changed_labels(actual["logits"], expected["logits"], tolerance=tolerance)
        if not worst <= tolerance or changed:
            raise SkewError(
                f"bundle '{self.folder}' does not reproduce its {len(raws)} reference predictions: outputs differ by "
                f"{worst:.3g} (tolerance {tolerance:.3g}), {changed} labels changed."
            )

    def _answer(self, probability_K: NDArray[np.float32], embedding_D: NDArray[np.float32]) -> Answer:
        index = int(probability_K.argmax())
        return Answer(self.bundle.label_names[index], float(probability_K[index]), probability_K, embedding_D)


def _check_fit(bundle: ModelBundle, pipeline: Pipeline) -> None:
    """Raises `IntegrityError` where the preprocess, the graph and the labels of a bundle differ in a length."""
    height, width, num_channels = pipeline.shape
    image = bundle.inputs[0]
    if len(bundle.inputs) != 1 or (image.dtype, image.shape[1:]) != ("float32", (num_channels, height, width)):
        shape = "×".join(map(str, pipeline.shape))
        raise IntegrityError(
            f"the preprocess gives images of {shape}; the graph takes {image.dtype}{list(image.shape)}."
        )
    widths = {output.name: output.shape[1:] for output in bundle.outputs}
    if not {"logits", "embedding"} <= widths.keys():
        raise IntegrityError(f"the graph returns {', '.join(widths)}; expected logits and embedding.")
    if widths["logits"] != (len(bundle.label_names),):
        raise IntegrityError(f"{len(bundle.label_names)} label names for logits of {list(widths['logits'])}.")


def _check_runtime(bundle: ModelBundle) -> None:
    engine, least = bundle.runtime.engine, bundle.runtime.minimum_version
    try:
        installed = version(engine)
    except PackageNotFoundError:
        raise MissingExtra(engine, "serve") from None
    if _numbers(installed) < _numbers(least):
        raise StateError(
            f"{engine} {installed} is installed; this bundle expects {least} or newer.",
            next_command=f"pip install '{engine}>={least}'",
        )


def _numbers(text: str) -> tuple[int, ...]:
    """`1.22.0` as numbers that compare; what follows the third is a build's own affair."""
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())
