"""`tracking=mlflow`: a SQLite file in the workspace, or the server that MLFLOW_TRACKING_URI names.

Uses MLflow's client only, never its module-wide active run, so that nothing here outlives the run.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from loopline.core import store
from loopline.core.records import Run, RunStatus
from loopline.core.workspace import Workspace
from loopline.runs import RunFolder
from loopline.tracking.tracker import Tracker, TrackerConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient

_STATUS = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED", "running": "RUNNING"}


class MlflowConfig(TrackerConfig):
    """The MLflow experiment that runs stand under, and how often the machine's load is sampled."""

    name: Literal["mlflow"] = "mlflow"
    experiment: str = Field(default="loopline", min_length=1)
    # Seconds between samples of CPU, memory, disk, network and GPU; 0 samples nothing.
    system_metrics_s: float = Field(default=5.0, ge=0)

    def open(self, run: RunFolder, workspace: Workspace) -> tuple[Tracker, str | None]:
        client = open_client(workspace)
        run_id = run.record.tracker_run_id
        if run_id is None:
            run_id = _create_run(client, self.experiment, run.record, workspace)
            resumed = False
        else:
            client.update_run(run_id, status="RUNNING")
            resumed = True
        return MlflowTracker(client, run_id, system_metrics_s=self.system_metrics_s, resumed=resumed), run_id


class MlflowTracker:
    """One MLflow run, open."""

    def __init__(self, client: MlflowClient, run_id: str, *, system_metrics_s: float, resumed: bool) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._client = client
        self._run_id = run_id
        self._monitor = None
        if system_metrics_s:
            self._monitor = SystemMetricsMonitor(  # type: ignore[no-untyped-call]  # MLflow's monitor has no types
                run_id, sampling_interval=system_metrics_s, resume_logging=resumed, tracking_uri=client.tracking_uri
            )
            self._monitor.start()  # type: ignore[no-untyped-call]  # MLflow's monitor has no types

    def log_params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        rows = [Param(key, str(value)) for key, value in params.items()]
        # MLflow takes at most 100 at a time.
        for start in range(0, len(rows), 100):
            self._client.log_batch(self._run_id, params=rows[start : start + 100])

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        self._client.log_batch(self._run_id, [Metric(key, value, now_ms, step) for key, value in metrics.items()])

    def log_artifact(self, path: Path) -> None:
        self._client.log_artifact(self._run_id, str(path))

    def finish(self, status: RunStatus) -> None:
        if self._monitor is not None:
            self._monitor.finish()  # type: ignore[no-untyped-call]  # MLflow's monitor has no types
        self._client.set_terminated(self._run_id, status=_STATUS[status])


def open_client(workspace: Workspace) -> MlflowClient:
    """A client of the server that MLFLOW_TRACKING_URI names, or of the workspace's own database."""
    # MLflow reads this when it is imported; a user's own setting stays.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    # What these say at level INFO (tables created, a thread started) is about MLflow, not about the run.
    for name in ("mlflow.store.db.utils", "mlflow.system_metrics.system_metrics_monitor", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    workspace.root.mkdir(parents=True, exist_ok=True)
    return MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or workspace.tracking_uri)


def _create_run(client: MlflowClient, experiment: str, run: Run, workspace: Workspace) -> str:
    found = client.get_experiment_by_name(experiment)
    if found is not None:
        experiment_id = found.experiment_id
    else:
        # A server knows where its artifacts go; beside the local database they go into the workspace.
        local = client.tracking_uri == workspace.tracking_uri
        location = (workspace.artifacts / experiment).resolve().as_uri() if local else None
        experiment_id = client.create_experiment(experiment, artifact_location=location)
    tags = {"loopline.run_id": run.run_id, "loopline.dataset": f"{run.dataset.name}@{run.dataset.version}"}
    if run.code.commit is not None:
        tags["mlflow.source.git.commit"] = run.code.commit
    if run.parent is not None:
        tags["mlflow.parentRunId"] = _parent(client, experiment_id, run.parent, workspace)
    created: str = client.create_run(experiment_id, run_name=run.run_id, tags=tags).info.run_id
    return created


def _parent(client: MlflowClient, experiment_id: str, sweep: str, workspace: Workspace) -> str:
    """The MLflow run under which a sweep's trials stand; the first trial makes it."""
    # Trials start side by side, and MLflow would let each make a parent of its own.
    with store.lock(workspace.cache / "mlflow-parent.lock", holder="the list of MLflow parents", timeout_s=60):
        found = client.search_runs([experiment_id], f"tags.`loopline.sweep` = '{sweep}'", max_results=1)
        if found:
            existing: str = found[0].info.run_id
            return existing
        parent: str = client.create_run(experiment_id, run_name=sweep, tags={"loopline.sweep": sweep}).info.run_id
        # It computes nothing itself.
        client.set_terminated(parent)
        return parent
