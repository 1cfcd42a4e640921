"""What can be judged, a run's checkpoint or a bundle, opened to one shape.

N examples, K outputs of an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from loopline.core.progress import track
from loopline.core.records import DatasetRef, ModelBundle, ModelVersion, Run, Signature, Task, TransformStep
from loopline.core.store import read_record
from loopline.core.workspace import Workspace
from loopline.predictor import Predicted, Predictor, PredictorLike, open_predictor
from loopline.subjects.references import bundle_folder, find_run_if_here, run_files
from loopline.transforms import Pipeline, build_pipeline, build_postprocess
from loopline.transforms.outputs import HEADS, answer_outputs

if TYPE_CHECKING:
    from loopline.predictor.translation import Translator
    from loopline.snapshots import SplitReader

# Answers to a whole split, given where decoded inputs may be kept.
PredictSplit = Callable[["SplitReader", Path], Predicted]
_BATCH = 256


@dataclass(frozen=True)
class Subject:
    """Something that answers: who it is, what it was trained on, and how it answers a split."""

    kind: Literal["run", "bundle"]
    # The run's id, or the bundle's digest.
    key: str
    # The run itself, or the one that the bundle was made from.
    run_id: str
    task: Task
    dataset: DatasetRef
    label_names: tuple[str, ...]
    unit: str | None
    # The share of truths that its intervals are said to hold, where it states intervals.
    coverage: float | None
    # The answers to a split, in its order.
    predict: PredictSplit

    @property
    def short_key(self) -> str:
        """The key as it stands in file names: a run's id, the first twelve digits of a digest."""
        return self.key if self.kind == "run" else self.key[:12]


def open_subject(subject: Run | ModelBundle | ModelVersion | str, workspace: Workspace) -> Subject:
    """Opens a run's best checkpoint or a bundle.

    Text is a run where a run has that id (or `latest`), else a bundle. Raises `UnknownName` where it is neither.
    """
    if isinstance(subject, Run):
        return _open_run(subject, workspace)
    if isinstance(subject, str) and "@" not in subject:
        run = find_run_if_here(subject, workspace)
        if run is not None:
            return _open_run(run, workspace)
    return _open_bundle(open_predictor(bundle_folder(subject, workspace)))


def _open_run(run: Run, workspace: Workspace) -> Subject:
    from loopline.networks import load_checkpoint
    from loopline.networks.inference import network_outputs
    from loopline.runs import run_folder

    folder = run_folder(run, workspace)
    signature = read_record(Signature, folder / "signature.json")
    if signature.task == "translation":
        return _open_translating_run(run, signature, folder)
    network = load_checkpoint(folder)
    pipeline = build_pipeline(signature.preprocess, run_files(folder, signature))
    postprocess = build_postprocess(signature.postprocess)

    def answer(x_N: NDArray[Any]) -> Predicted:
        outputs = postprocess(network_outputs(network, pipeline.collate(x_N), head=HEADS[signature.task]))
        names, outputs_NK = answer_outputs(signature.task, outputs, signature.label_names)
        return Predicted(names, outputs_NK, outputs["embedding"])

    return Subject(
        "run",
        run.run_id,
        run.run_id,
        signature.task,
        signature.dataset,
        signature.label_names,
        signature.unit,
        _stated_coverage(signature.postprocess),
        lambda reader, cache: _predict_arrays(reader, pipeline, cache, answer),
    )


def _open_translating_run(run: Run, signature: Signature, folder: Path) -> Subject:
    from loopline.subjects.translating import open_translator

    translator = open_translator(folder)
    return Subject(
        "run",
        run.run_id,
        run.run_id,
        signature.task,
        signature.dataset,
        (),
        None,
        None,
        lambda reader, _cache: _predict_raws(reader, translator),
    )


def _open_bundle(predictor: PredictorLike) -> Subject:
    bundle = predictor.bundle
    return Subject(
        "bundle",
        bundle.digest,
        bundle.run_id,
        bundle.task,
        bundle.dataset,
        bundle.label_names,
        bundle.unit,
        _stated_coverage(bundle.postprocess),
        lambda reader, cache: predict_split(predictor, reader, cache),
    )


def predict_split(predictor: PredictorLike, reader: SplitReader, cache: Path) -> Predicted:
    """An open bundle's answers to a whole split: from the decoded cache, or from raw texts."""
    if isinstance(predictor, Predictor):
        return _predict_arrays(reader, predictor.pipeline, cache, lambda x_N: predictor.predict_columns(list(x_N)))
    return _predict_raws(reader, predictor)


def _stated_coverage(postprocess: Sequence[TransformStep]) -> float | None:
    return next((float(step.params["coverage"]) for step in postprocess if step.name == "interval"), None)


def _predict_arrays(
    reader: SplitReader, pipeline: Pipeline, cache: Path, answer: Callable[[NDArray[Any]], Predicted]
) -> Predicted:
    """From the decoded cache that training uses, batch by batch."""
    from loopline.snapshots import decoded_inputs

    decoded_N = decoded_inputs(reader, pipeline, cache)
    starts = range(0, len(decoded_N), _BATCH)
    parts = [
        answer(decoded_N[start : start + _BATCH])
        for start in track(starts, f"predicting {reader.name}", total=len(starts))
    ]
    return _joined(parts)


def _predict_raws(reader: SplitReader, predictor: PredictorLike | Translator) -> Predicted:
    """From the raw examples: they differ in length, and are not stacked."""
    starts = range(0, reader.num_examples, _BATCH)
    parts = []
    for start in track(starts, f"predicting {reader.name}", total=len(starts)):
        answers = predictor.predict_raw(reader.raw_many(range(start, min(start + _BATCH, reader.num_examples))))
        parts.append(
            Predicted(
                predictor.output_names,
                np.stack([each.outputs for each in answers]),
                np.stack([each.embedding for each in answers]),
                tuple(each.predicted for each in answers),
            )
        )
    return _joined(parts)


def _joined(parts: Sequence[Predicted]) -> Predicted:
    return Predicted(
        parts[0].names,
        np.concatenate([part.outputs_NK for part in parts]),
        np.concatenate([part.embedding_ND for part in parts]),
        tuple(text for part in parts for text in part.texts),
    )
