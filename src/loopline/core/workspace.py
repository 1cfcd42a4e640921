"""Where things live: one folder with a room per kind of record.

workspace/
  data/NAME/                 snapshots: manifest.json (current), versions/VERSION.json, shards/ shared by versions
  runs/RUN_ID/               run.json, checkpoints, metrics, plots
  sweeps/NAME/               sweep.json, sweep.db, logs of its trials
  bundles/NAME-DIGEST/       bundles
  mlflow.db, artifacts/      tracking and registry, read by `mlflow ui`
  predictions.db             the prediction log
  reports/                   HTML pages
  deployments/NAME/          what runs because of us: record, files, history
  jobs/ID/                   trainings on other machines
  cache/                     what can be computed again
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "LOOPLINE_HOME"


@dataclass(frozen=True)
class Workspace:
    """The folder under which every stage reads and writes; nothing is created before something is written."""

    root: Path

    @classmethod
    def default(cls) -> Workspace:
        """The folder that the environment variable LOOPLINE_HOME names, else `workspace` in the current folder."""
        return cls(Path(os.environ.get(HOME_VARIABLE) or "workspace"))

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def sweeps(self) -> Path:
        return self.root / "sweeps"

    @property
    def bundles(self) -> Path:
        return self.root / "bundles"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def deployments(self) -> Path:
        return self.root / "deployments"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def tracking_db(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def tracking_uri(self) -> str:
        """The MLflow URI of the tracking database; an absolute path, so that it holds from any folder."""
        return f"sqlite:///{self.tracking_db.resolve().as_posix()}"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def prediction_log(self) -> Path:
        return self.root / "predictions.db"
