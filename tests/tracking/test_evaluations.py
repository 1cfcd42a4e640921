"""What an evaluation leaves in MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from loopline.core.records import Evaluation, Run
from loopline.core.store import read_record
from loopline.core.workspace import Workspace
from loopline.tracking import TrackingWarning, log_evaluation
from loopline.tracking.mlflow import open_client

GOLDEN = Path(__file__).parent.parent / "frozen" / "records"
EVALUATION = read_record(Evaluation, GOLDEN / "evaluation.v1.json")
RUN = read_record(Run, GOLDEN / "run.v1.json")


def written(folder: Path) -> Path:
    """An evaluation's folder: a plot, a page, and predictions."""
    folder.mkdir()
    for name in ("confusion.png", "evaluation.html", "predictions.npz"):
        (folder / name).write_bytes(b"content")
    return folder


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Run]:
    """A workspace whose MLflow knows a run."""
    place = Workspace(tmp_path_factory.mktemp("tracked") / "workspace")
    client = open_client(place)
    experiment = client.create_experiment("loopline", artifact_location=place.artifacts.resolve().as_uri())
    run_id = client.create_run(experiment).info.run_id
    return place, RUN.model_copy(update={"tracker": "mlflow", "tracker_run_id": run_id, "num_steps": 70})


def test_metrics_plots_and_page_join_the_run(tracked: tuple[Workspace, Run], tmp_path: Path) -> None:
    """Metrics stand under the evaluation's name at the run's last step; the predictions stay at home."""
    place, run = tracked
    log_evaluation(run, EVALUATION, written(tmp_path / "e"), place)
    client, run_id, prefix = open_client(place), str(run.tracker_run_id), f"evaluation-{EVALUATION.split}"
    (kept,) = client.get_metric_history(run_id, f"{prefix}/accuracy")
    assert (kept.value, kept.step) == (EVALUATION.metrics["accuracy"].value, 70)
    found = [item.path for item in client.list_artifacts(run_id, prefix)]
    assert found == [f"{prefix}/confusion.png", f"{prefix}/evaluation.html"]


def test_a_tracker_in_trouble_is_a_warning(tracked: tuple[Workspace, Run], tmp_path: Path) -> None:
    """A run that MLflow does not know any more costs a sentence, not the evaluation."""
    place, run = tracked
    gone = run.model_copy(update={"tracker_run_id": "0" * 32})
    with pytest.warns(TrackingWarning, match="was not added to MLflow"):
        log_evaluation(gone, EVALUATION, written(tmp_path / "e"), place)


def test_a_run_that_nobody_tracked_is_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    """Without MLflow nothing is written, not even a database."""
    log_evaluation(RUN.model_copy(update={"tracker": "none"}), EVALUATION, written(tmp_path / "e"), workspace)
    assert not workspace.root.exists()
