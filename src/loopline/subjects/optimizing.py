"""The bench that recipes work on: a bundle, its run and its data, with the tools of other stages.

N examples, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from loopline.bundle import read_file, read_reference
from loopline.core.errors import StateError
from loopline.core.records import PairedComparison, Parity, Run, TransformStep
from loopline.core.workspace import Workspace
from loopline.metrics import conformal_radius
from loopline.optimization import Draft, Result
from loopline.predictor import Predicted, PredictorLike
from loopline.predictor.agreement import disagreement
from loopline.predictor.translation import ROLES, TranslationPredictor
from loopline.snapshots import decoded_inputs
from loopline.subjects.opening import predict_split
from loopline.subjects.references import find_run_if_here, open_dataset
from loopline.text_metrics import sentence_chrf
from loopline.transforms import Pipeline, build_pipeline
from loopline.transforms.outputs import HEADS

if TYPE_CHECKING:
    from torch import nn

    from loopline.export import BundleFacts
    from loopline.networks import Network

# Two answers to the whole split, the challenger's first.
Compare = Callable[[NDArray[Any], Predicted, Predicted], PairedComparison]
_TRAINING_SPLIT = "train"
# A processor that rounds otherwise may be off by more than this one was.
_TOLERANCE_FACTOR = 1.5


class Bench:
    """A `Workbench` over a workspace."""

    def __init__(self, parent: PredictorLike, workspace: Workspace, *, compare: Compare) -> None:
        """Takes the open parent; raises `UnknownName` where its dataset is not in the workspace."""
        self.parent = parent
        self._workspace = workspace
        self._compare = compare
        self._snapshot = open_dataset(parent.bundle.dataset, workspace)
        self.split = parent.bundle.reference.drift_split
        self._held_out = self._snapshot.split(self.split)

    @cached_property
    def _run(self) -> Run:
        run = find_run_if_here(self.parent.bundle.run_id, self._workspace)
        if run is None:
            raise StateError(f"run '{self.parent.bundle.run_id}', which made the bundle, is not in this workspace.")
        return run

    @cached_property
    def _parent_predicted(self) -> Predicted:
        return self.predict(self.parent)

    @property
    def is_mirrored(self) -> bool:
        """Whether training showed examples mirrored, too."""
        return bool(self._run.config["data"].get("augment", {}).get("flip"))

    @property
    def model(self) -> Mapping[str, Any]:
        """The configuration of the run's network."""
        model: Mapping[str, Any] = self._run.config["model"]
        return model

    def network(self) -> Network:
        """A fresh copy of the run's network."""
        from loopline.networks import load_checkpoint
        from loopline.runs import run_folder

        return load_checkpoint(run_folder(self._run, self._workspace))

    def training_inputs(self, pipeline: Pipeline) -> NDArray[Any]:
        """The training split as the pipeline decodes it."""
        return decoded_inputs(self._snapshot.split(_TRAINING_SPLIT), pipeline, self._workspace.cache)

    def training_raws(self, indices: Sequence[int]) -> list[bytes]:
        """Some of it, as it came."""
        return self._snapshot.split(_TRAINING_SPLIT).raw_many(indices)

    def training_targets(self) -> NDArray[Any]:
        """Its targets."""
        return self._snapshot.split(_TRAINING_SPLIT).targets

    def raws(self, num_examples: int) -> list[bytes]:
        """The first raw examples of the held-out split."""
        return self._held_out.raw_many(range(min(num_examples, self._held_out.num_examples)))

    def export(self, network: nn.Module, pipeline: Pipeline) -> bytes:
        """A network as a graph."""
        from loopline.export.graph import export_graph

        bundle = self.parent.bundle
        return export_graph(
            network, shape=pipeline.input_shape, input_name=pipeline.decoder.input_kind, head=HEADS[bundle.task]
        )

    def predict(self, predictor: PredictorLike) -> Predicted:
        """The answers to the held-out split."""
        return predict_split(predictor, self._held_out, self._workspace.cache)

    def compare(self, challenger: Predicted) -> PairedComparison:
        """Against the parent's answers."""
        return self._compare(self._held_out.targets, challenger, self._parent_predicted)

    def score(self, predicted: Predicted) -> float:
        """Accuracy, mean absolute error, or mean chrF of the sentences."""
        targets_N = self._held_out.targets
        if self.parent.bundle.task == "classification":
            return float((predicted.outputs_NK.argmax(axis=1) == targets_N).mean())
        if self.parent.bundle.task == "regression":
            return float(np.abs(predicted.outputs_NK[:, 0] - targets_N).mean())
        return float(np.mean(sentence_chrf(list(predicted.texts), [str(text) for text in targets_N])))

    def seal(self, draft: Draft, folder: Path, *, result: Result | None = None) -> Path:
        """Writes a draft as a bundle; parity is how far its outputs are from the parent's on the reference inputs."""
        from loopline.export import BundleParts, assemble_bundle

        bundle = self.parent.bundle
        raws, expected = read_reference(self.parent.folder, bundle)
        pipeline = build_pipeline(draft.preprocess)
        # What is only to be measured needs no drift reference to speak of.
        num_drift = bundle.reference.num_drift if result is not None else 1
        parts = BundleParts(
            graph=draft.graph,
            preprocess=draft.preprocess,
            postprocess=self._postprocess(result),
            reference_raws=raws,
            drift_examples=decoded_inputs(self._held_out, pipeline, self._workspace.cache)[:num_drift],
            role=draft.role,
            engine=draft.engine,
            tolerance=draft.tolerance,
        )
        return assemble_bundle(folder, parts, self._facts(raws, result), parity=self._parity(draft, raws, expected))

    def requantize(self, folder: Path, *, result: Result | None = None) -> Path:
        """Writes a translator with int8 weights: those that the bundle holds, or the checkpoint's, quantized now."""
        from loopline.export.requantized import requantize_translation

        if not isinstance(self.parent, TranslationPredictor):
            raise StateError(f"a bundle of the task {self.parent.bundle.task} is no translator.")
        return requantize_translation(
            self.parent,
            self._int8_files(self.parent),
            self.raws(self.parent.bundle.reference.num_drift),
            folder,
            derivation=None if result is None else result.derivation,
            metrics=self._metrics(result),
        )

    def _parity(self, draft: Draft, raws: list[bytes], expected: Mapping[str, NDArray[np.float32]]) -> Parity:
        from loopline.export.assemble import graph_outputs
        from loopline.predictor.onnx import OnnxEngine

        pipeline = build_pipeline(draft.preprocess)
        head = HEADS[self.parent.bundle.task]
        x_N = pipeline.collate(np.stack([pipeline.decode(raw) for raw in raws]))
        error = disagreement(graph_outputs(OnnxEngine(draft.graph), x_N), {head: expected[head]})
        return Parity(
            num_inputs=len(raws), max_abs_error=error, tolerance=max(draft.tolerance, _TOLERANCE_FACTOR * error)
        )

    def _facts(self, raws: list[bytes], result: Result | None) -> BundleFacts:
        from loopline.export import BundleFacts

        bundle = self.parent.bundle
        return BundleFacts(
            name=bundle.name,
            run_id=bundle.run_id,
            dataset=bundle.dataset,
            label_names=bundle.label_names,
            licence=bundle.licence,
            created_at=bundle.created_at,
            metrics=self._metrics(result),
            held_out_split=self.split,
            task=bundle.task,
            unit=bundle.unit,
            simulated_raws=raws if bundle.reference.is_simulated else (),
            parent=bundle.digest,
            derivation=None if result is None else result.derivation,
        )

    def _metrics(self, result: Result | None) -> dict[str, float]:
        """What was measured of the new bundle; the parent's figures are the parent's."""
        if result is None:
            return {}
        return {f"{self.split}/{result.derivation.comparison.metric}": result.score}

    def _postprocess(self, result: Result | None) -> tuple[TransformStep, ...]:
        """The parent's; an interval is as wide as the new bundle's own errors ask."""
        steps = self.parent.bundle.postprocess
        if result is None:
            return steps
        errors_N = np.abs(result.predicted.outputs_NK[:, 0] - self._held_out.targets) if _has_interval(steps) else None
        return tuple(
            step.model_copy(
                update={"params": {**step.params, "radius": conformal_radius(errors_N, step.params["coverage"])}}
            )
            if step.name == "interval" and errors_N is not None
            else step
            for step in steps
        )

    def _int8_files(self, parent: TranslationPredictor) -> dict[str, bytes]:
        from loopline.networks.t5 import T5
        from loopline.networks.t5_ctranslate2 import ctranslate2_files

        bundle, (_, int8) = parent.bundle, ROLES
        if int8 in bundle.graphs:
            names = [path for path in bundle.files if path.startswith(f"{int8}/")]
            return {path.partition("/")[2]: read_file(parent.folder, bundle, path) for path in names}
        network: Any = self.network()
        if not isinstance(network, T5):
            raise StateError(f"run '{bundle.run_id}' translates with {type(network).__name__}; expected T5.")
        return ctranslate2_files(network, parent.translator.decoder.tokenizer.pieces, quantization=int8)


def _has_interval(steps: tuple[TransformStep, ...]) -> bool:
    return any(step.name == "interval" for step in steps)
