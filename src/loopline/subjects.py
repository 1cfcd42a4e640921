"""Layer 4: what can be judged (a run's checkpoint or a bundle), found by reference and opened to one shape.

N examples, H height, W width, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from loopline.bundle import find_bundle, folder_name, read_record_only
from loopline.core.errors import UnknownName
from loopline.core.progress import track
from loopline.core.records import DatasetRef, ModelBundle, ModelVersion, Run, Signature, TransformStep
from loopline.core.store import read_record
from loopline.core.workspace import Workspace
from loopline.predictor import Predictor, open_predictor
from loopline.transforms import Pipeline, build_pipeline, build_postprocess

if TYPE_CHECKING:
    from loopline.snapshots import Snapshot, SplitReader

# x_NHWC uint8, decoded, to probability_NK.
Probabilities = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
_BATCH = 256


@dataclass(frozen=True)
class Subject:
    """Something that answers: who it is, what it was trained on, and how decoded examples become probabilities."""

    kind: Literal["run", "bundle"]
    # The run's id, or the bundle's digest.
    key: str
    dataset: DatasetRef
    label_names: tuple[str, ...]
    pipeline: Pipeline
    probabilities: Probabilities

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


def bundle_folder(reference: ModelBundle | ModelVersion | str, workspace: Workspace) -> Path:
    """The folder of a bundle, whichever way it is named."""
    if isinstance(reference, ModelBundle):
        return workspace.bundles / folder_name(reference)
    return find_bundle(reference.reference if isinstance(reference, ModelVersion) else reference, workspace)


def find_run_if_here(reference: str, workspace: Workspace) -> Run | None:
    """The run that a reference names, or None where this workspace has no such run."""
    from loopline.runs import find_run

    try:
        return find_run(reference, workspace)
    except UnknownName:
        return None


def open_dataset(dataset: DatasetRef, workspace: Workspace) -> Snapshot:
    """The snapshot that a record refers to, in the very version."""
    from loopline.snapshots import open_snapshot

    return open_snapshot(f"{dataset.name}@{dataset.version}", workspace)


def predict_split(subject: Subject, reader: SplitReader, cache: Path) -> NDArray[np.float32]:
    """probability_NK of a split, in the split's order, from the decoded cache that training uses."""
    from loopline.snapshots import decoded_inputs

    decoded_NHWC = decoded_inputs(reader, subject.pipeline, cache)
    starts = range(0, len(decoded_NHWC), _BATCH)
    batches = track(starts, f"predicting {reader.name}", total=len(starts))
    return np.concatenate([subject.probabilities(decoded_NHWC[start : start + _BATCH]) for start in batches])


def parity_check(folder: Path, workspace: Workspace) -> Callable[[Predictor], str] | None:
    """Measures a bundle's graph against its run's checkpoint anew; None where the run is not in this workspace."""
    bundle = read_record_only(folder)
    run = find_run_if_here(bundle.run_id, workspace)
    if run is None:
        return None

    def check(predictor: Predictor) -> str:
        from loopline.bundle import read_file, read_reference
        from loopline.export.checkpoint import measure_parity
        from loopline.networks import load_checkpoint
        from loopline.runs import run_folder

        raws, _ = read_reference(folder, bundle)
        x_NCHW = predictor.pipeline.collate(np.stack([predictor.decode(raw) for raw in raws]))
        network = load_checkpoint(run_folder(run, workspace))
        parity = measure_parity(network, read_file(folder, bundle, bundle.graphs["float32"]), x_NCHW)
        return f"outputs differ by at most {parity.max_abs_error:.2g} on {parity.num_inputs} inputs"

    return check


def _open_run(run: Run, workspace: Workspace) -> Subject:
    from loopline.networks import load_checkpoint
    from loopline.networks.inference import network_outputs
    from loopline.runs import run_folder

    folder = run_folder(run, workspace)
    signature = read_record(Signature, folder / "signature.json")
    network = load_checkpoint(folder)
    pipeline = build_pipeline(signature.preprocess)
    softmax = build_postprocess((TransformStep(name="softmax"),))

    def probabilities(x_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        return softmax(network_outputs(network, pipeline.collate(x_NHWC)))["probability"]

    return Subject("run", run.run_id, signature.dataset, signature.label_names, pipeline, probabilities)


def _open_bundle(predictor: Predictor) -> Subject:
    bundle = predictor.bundle
    postprocess = build_postprocess(bundle.postprocess)

    def probabilities(x_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        return postprocess(predictor.outputs(list(x_NHWC)))["probability"]

    return Subject("bundle", bundle.digest, bundle.dataset, bundle.label_names, predictor.pipeline, probabilities)
