"""A bundle of one graph, opened: decode, transform, run the graph, name the answer.

N examples, K outputs of an answer, D embedding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.bundle import read_file, read_reference
from loopline.core.errors import ConfigError, IntegrityError, InvalidExample, LooplineError, SkewError, StateError
from loopline.core.records import ModelBundle
from loopline.core.tables import resolve
from loopline.predictor.agreement import disagreement, num_changed_labels
from loopline.predictor.answer import Answer, LabelAnswer, Predicted, ValueAnswer
from loopline.predictor.engine import BFLOAT16, ENGINES, GPU_ENGINES, Engine, check_tensors
from loopline.transforms import Pipeline, build_pipeline, build_postprocess
from loopline.transforms.outputs import HEADS, answer_outputs

# The role of the graph that answers, by what it computes in: the first of these that a bundle holds.
GRAPH_ROLES = ("float32", "int8", "float16", BFLOAT16)
# Activations of a batch live in memory together, some twenty times what goes in, and an engine keeps that memory: 64
# pictures of 224×224 took 700 MB, four of them 34 MB more than one. On a CPU that is no faster than one by one;
# only small examples gain, by the dozen. A GPU wants much at once.
_MAX_BATCH = 64
_MAX_BATCH_BYTES, _MAX_GPU_BATCH_BYTES = 600_000, 64_000_000

Array = NDArray[Any]


class Predictor:
    """An open bundle; every method is thread-safe, for nothing but `is_verified` changes after construction."""

    @classmethod
    def open(cls, folder: Path, bundle: ModelBundle, *, num_threads: int = 0, engine: str | None = None) -> Predictor:
        """Opens a bundle that `read_bundle` checked; see `open_predictor`, which whoever has a folder calls."""
        role = next((role for role in GRAPH_ROLES if role in bundle.graphs), None)
        if role is None:
            graphs = ", ".join(bundle.graphs)
            raise ConfigError(f"bundle '{folder}' has the graphs {graphs}; expected one of {', '.join(GRAPH_ROLES)}.")
        graph = read_file(folder, bundle, bundle.graphs[role])
        name = engine or bundle.runtime.engine
        kind = resolve(ENGINES, name, kind="engine")
        # The graph itself is float32; computing in less is the engine's doing.
        precision = {"precision": "bf16"} if role == BFLOAT16 else {}
        max_bytes = _MAX_GPU_BATCH_BYTES if name in GPU_ENGINES else _MAX_BATCH_BYTES
        return cls(bundle, folder, kind(graph, num_threads=num_threads, **precision), max_batch_bytes=max_bytes)

    def __init__(
        self, bundle: ModelBundle, folder: Path, engine: Engine, *, max_batch_bytes: int = _MAX_BATCH_BYTES
    ) -> None:
        """Takes a bundle that `read_bundle` checked and the engine that holds its graph.

        What goes through the graph at once has at most `max_batch_bytes`, or is one example.

        Raises `IntegrityError` or `ConfigError` where transforms, graph and labels do not fit each other.
        """
        self.bundle = bundle
        self.folder = folder
        self.engine = engine
        self.pipeline = build_pipeline(bundle.preprocess, step_files(folder, bundle))
        self.postprocess = build_postprocess(bundle.postprocess)
        check_tensors(engine.inputs, bundle.inputs, kind="inputs")
        check_tensors(engine.outputs, bundle.outputs, kind="outputs")
        _check_fit(bundle, self.pipeline)
        self._batch_size = max(1, min(_MAX_BATCH, max_batch_bytes // (4 * math.prod(self.pipeline.input_shape))))
        zeros = {
            output.name: np.zeros([length or 1 for length in output.shape], np.float32) for output in bundle.outputs
        }
        self.output_names, _ = answer_outputs(bundle.task, self.postprocess(zeros), bundle.label_names)
        self.is_verified = False

    def decode(self, raw: bytes) -> Array:
        """One example's bytes to an array of the pipeline's shape; raises `InvalidExample`, and nothing else."""
        return self.pipeline.decode(raw)

    def from_array(self, values: Any) -> Array:
        """Plain values (an array, nested lists) to what `predict` takes; raises `InvalidExample`, and nothing else."""
        return self.pipeline.from_array(values)

    def join(self, files: Sequence[tuple[str, bytes]]) -> bytes:
        """The bytes of one example that came as several named files; raises `InvalidExample`, and nothing else."""
        return self.pipeline.decoder.join(files)

    def predict(self, samples: Sequence[Array]) -> list[Answer]:
        """Decoded examples to answers in their order, at most 64 at a time through the graph.

        Raises `InvalidExample` for an array of another shape or type and `StateError` where the graph returns NaN.
        """
        if not samples:
            return []
        outputs = self.postprocess(self.outputs(samples))
        _, outputs_NK = answer_outputs(self.bundle.task, outputs, self.bundle.label_names)
        pairs = zip(outputs_NK, outputs["embedding"], strict=True)
        return [self._answer(outputs_K, embedding_D) for outputs_K, embedding_D in pairs]

    def predict_raw(self, raws: Sequence[bytes]) -> list[Answer]:
        """Examples' bytes to answers in their order; raises `InvalidExample` for the first that is none."""
        return self.predict([self.decode(raw) for raw in raws])

    def predict_columns(self, samples: Sequence[Array]) -> Predicted:
        """As `predict`, in columns: for whoever judges whole splits."""
        outputs = self.postprocess(self.outputs(samples))
        names, outputs_NK = answer_outputs(self.bundle.task, outputs, self.bundle.label_names)
        return Predicted(names, outputs_NK, outputs["embedding"])

    def outputs(self, samples: Sequence[Array]) -> dict[str, NDArray[np.float32]]:
        """The graph's outputs by name, before the postprocess; raises as `predict` does."""
        for x in samples:
            if x.shape != self.pipeline.shape or x.dtype != self.pipeline.dtype:
                shape = "×".join(map(str, self.pipeline.shape))
                raise InvalidExample(
                    f"an array {x.dtype}{list(x.shape)} given; expected {self.pipeline.dtype} of {shape}."
                )
        names = [output.name for output in self.bundle.outputs]
        size = self._batch_size
        batches = [
            self.engine.run(
                {self.bundle.inputs[0].name: self.pipeline.collate(np.stack(samples[start : start + size]))},
                names,
            )
            for start in range(0, len(samples), size)
        ]
        outputs = {name: np.concatenate([batch[name] for batch in batches]) for name in names}
        broken = [name for name, array in outputs.items() if not np.isfinite(array).all()]
        if broken:
            raise StateError(f"the graph of '{self.folder}' returned NaN or infinity in {', '.join(broken)}.")
        return outputs

    def verify(self, *, part: int = 0, num_parts: int = 1) -> None:
        """Decodes and predicts the raw reference inputs as if they came from outside: all, or a part of them.

        Part n of N are every N-th from the n-th on, and one at least. Raises `SkewError` where any step fails, an
        output differs by more than the bundle's tolerance, or a label changes that the tolerance does not excuse.
        """
        every, every_expected = read_reference(self.folder, self.bundle)
        chosen = slice(part % len(every), None, num_parts)
        raws, expected = every[chosen], {name: array[chosen] for name, array in every_expected.items()}
        tolerance = self.bundle.reference.tolerance
        try:
            actual = self.outputs([self.decode(raw) for raw in raws])
        except LooplineError as error:
            raise SkewError(f"bundle '{self.folder}' cannot predict its reference inputs: {error}") from error
        worst = disagreement(actual, expected)
        logits = HEADS["classification"]
        changed = num_changed_labels(actual[logits], expected[logits], tolerance=tolerance) if logits in expected else 0
        if not worst <= tolerance or changed:
            raise SkewError(
                f"bundle '{self.folder}' does not reproduce its reference predictions: outputs of {len(raws)} differ by"
                f" {worst:.3g} (tolerance {tolerance:.3g}), {changed} labels changed."
            )
        self.is_verified = True

    def _answer(self, outputs_K: NDArray[np.float32], embedding_D: NDArray[np.float32]) -> Answer:
        if self.bundle.task == "classification":
            return LabelAnswer(self.bundle.label_names[int(outputs_K.argmax())], outputs_K, embedding_D)
        return ValueAnswer(f"{outputs_K[0]:.6g}", outputs_K, embedding_D)


def step_files(folder: Path, bundle: ModelBundle) -> dict[str, bytes]:
    """The checked bytes of the files that a bundle's preprocess names; raises `IntegrityError` for an unlisted one."""
    named = [str(step.params["file"]) for step in bundle.preprocess if "file" in step.params]
    unlisted = [name for name in named if name not in bundle.files]
    if unlisted:
        raise IntegrityError(f"the preprocess of '{folder}' names the file '{unlisted[0]}', which it does not list.")
    return {name: read_file(folder, bundle, name) for name in named}


def _check_fit(bundle: ModelBundle, pipeline: Pipeline) -> None:
    """Raises `IntegrityError` where the preprocess, the graph and the labels of a bundle differ in a length."""
    if bundle.input_kind != pipeline.decoder.input_kind:
        raise IntegrityError(
            f"the bundle takes {bundle.input_kind} inputs; its preprocess decodes {pipeline.decoder.input_kind}."
        )
    given = bundle.inputs[0]
    if len(bundle.inputs) != 1 or (given.dtype, given.shape[1:]) != ("float32", pipeline.input_shape):
        shape = "×".join(map(str, pipeline.input_shape))
        raise IntegrityError(f"the preprocess gives float32 of {shape}; the graph takes {given.dtype}{given.shape}.")
    widths = {output.name: output.shape[1:] for output in bundle.outputs}
    head = HEADS[bundle.task]
    if not {head, "embedding"} <= widths.keys():
        raise IntegrityError(f"the graph returns {', '.join(widths)}; expected {head} and embedding.")
    if bundle.task == "regression" and widths[head] != (1,):
        raise IntegrityError(f"the graph returns {head} of {list(widths[head])}; expected one number.")
    if bundle.task == "classification" and widths[head] != (len(bundle.label_names),):
        raise IntegrityError(f"{len(bundle.label_names)} label names for {head} of {list(widths[head])}.")
