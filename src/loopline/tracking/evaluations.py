"""An evaluation's figures and plots in the MLflow run of what was evaluated."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

from loopline.core.errors import LooplineError
from loopline.core.records import Evaluation, Run
from loopline.core.workspace import Workspace
from loopline.tracking.mlflow import open_client
from loopline.tracking.tracker import TrackingWarning


def log_evaluation(run: Run, evaluation: Evaluation, folder: Path, workspace: Workspace) -> None:
    """Adds metrics as `evaluation-SPLIT/NAME`, and plots and page as artifacts in `evaluation-SPLIT`, to a run.

    Nothing happens for a run that MLflow did not track; what fails is a warning, for the evaluation itself is written.
    The predictions stay where they are: they may hold what must not leave.
    """
    if run.tracker != "mlflow" or run.tracker_run_id is None:
        return
    try:
        _log(run.tracker_run_id, run.num_steps, evaluation, folder, workspace)
    except LooplineError:
        raise
    except Exception as error:  # noqa: BLE001 - a tracker may raise anything; the evaluation is worth more
        first = (str(error).splitlines() or [""])[0]
        warnings.warn(
            f"the evaluation was not added to MLflow: {type(error).__name__}: {first}. '{folder}' keeps everything.",
            TrackingWarning,
            stacklevel=3,
        )


def _log(tracker_run_id: str, step: int, evaluation: Evaluation, folder: Path, workspace: Workspace) -> None:
    client = open_client(workspace)
    from mlflow.entities import Metric

    now_ms = int(time.time() * 1000)
    # A prefix of their own: training logs `validation/accuracy` along its steps.
    prefix = f"evaluation-{evaluation.split}"
    rows = [Metric(f"{prefix}/{name}", found.value, now_ms, step) for name, found in evaluation.metrics.items()]
    client.log_batch(tracker_run_id, metrics=rows)
    for file in sorted([*folder.glob("*.png"), *folder.glob("*.html")]):
        client.log_artifact(tracker_run_id, str(file), prefix)
