"""Does a bundle still equal the checkpoint that it was made from?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from loopline.bundle import read_record_only
from loopline.core.workspace import Workspace
from loopline.predictor import PredictorLike
from loopline.subjects.references import find_run_if_here, open_dataset
from loopline.transforms import build_pipeline
from loopline.transforms.outputs import HEADS


def parity_check(folder: Path, workspace: Workspace) -> Callable[[PredictorLike], str] | None:
    """Measures a bundle's graph against its run's checkpoint anew; None where the run is not in this workspace."""
    bundle = read_record_only(folder)
    run = find_run_if_here(bundle.run_id, workspace)
    if run is None:
        return None

    if bundle.task == "translation":
        from loopline.runs import run_folder
        from loopline.subjects.translating import translation_check

        held_out = open_dataset(bundle.dataset, workspace).split(bundle.reference.drift_split)
        return translation_check(run_folder(run, workspace), held_out)

    def check(predictor: PredictorLike) -> str:
        from loopline.bundle import read_file, read_reference
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
