"""Does a bundle still equal the checkpoint, or the bundle, that it was made from?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from loopline.bundle import find_bundle, read_record_only, read_reference
from loopline.core.errors import GateRefused, UnknownName
from loopline.core.workspace import Workspace
from loopline.predictor import Predictor, PredictorLike, open_predictor
from loopline.predictor.agreement import disagreement
from loopline.subjects.references import find_run_if_here, open_dataset
from loopline.transforms import build_pipeline
from loopline.transforms.outputs import HEADS


def parity_check(folder: Path, workspace: Workspace) -> Callable[[PredictorLike], str] | None:
    """Measures a bundle's graph against its run's checkpoint anew, or one that was optimized against its parent.

    None where what it was made from is not in this workspace.
    """
    bundle = read_record_only(folder)
    if bundle.parent is not None:
        return _parent_check(bundle.parent, workspace)
    run = find_run_if_here(bundle.run_id, workspace)
    if run is None:
        return None

    if bundle.task == "translation":
        from loopline.runs import run_folder
        from loopline.subjects.translating import translation_check

        held_out = open_dataset(bundle.dataset, workspace).split(bundle.reference.drift_split)
        return translation_check(run_folder(run, workspace), held_out)

    def check(predictor: PredictorLike) -> str:
        from loopline.bundle import read_file
        from loopline.export.checkpoint import measure_parity
        from loopline.networks import load_checkpoint
        from loopline.runs import run_folder

        raws, _ = read_reference(folder, bundle)
        pipeline = build_pipeline(bundle.preprocess)
        x_N = pipeline.collate(np.stack([predictor.decode(raw) for raw in raws]))
        network = load_checkpoint(run_folder(run, workspace))
        graph = read_file(folder, bundle, bundle.graphs["float32"])
        parity = measure_parity(network, graph, x_N, head=HEADS[bundle.task])
        return f"outputs differ by at most {parity.max_abs_error:.2g} on {parity.num_inputs} inputs"

    return check


def _parent_check(parent: str, workspace: Workspace) -> Callable[[PredictorLike], str] | None:
    try:
        folder = find_bundle(parent, workspace)
    except UnknownName:
        return None

    def check(predictor: PredictorLike) -> str:
        bundle, before = predictor.bundle, open_predictor(folder, num_threads=1)
        raws, _ = read_reference(predictor.folder, bundle)
        if not isinstance(predictor, Predictor) or not isinstance(before, Predictor):
            same = sum(
                now.predicted == old.predicted
                for now, old in zip(predictor.predict_raw(raws), before.predict_raw(raws), strict=True)
            )
            return f"{same} of {len(raws)} golden sentences are translated as by its parent {parent[:12]}"
        head = HEADS[bundle.task]
        outputs = [each.outputs([each.decode(raw) for raw in raws])[head] for each in (predictor, before)]
        error = disagreement({head: outputs[0]}, {head: outputs[1]})
        if not error <= bundle.parity.tolerance:
            raise GateRefused(
                f"the graph's outputs differ from its parent's by {error:.3g} on {len(raws)} inputs; expected at most "
                f"{bundle.parity.tolerance:.3g}."
            )
        return f"outputs differ from those of its parent {parent[:12]} by at most {error:.2g} on {len(raws)} inputs"

    return check
