"""MLflow's client on a workspace's database, quiet and without its telemetry."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def open_client(workspace: Workspace) -> MlflowClient:
    """A client of the workspace's registry; the first call on a new workspace creates the database (about 4 s)."""
    # MLflow reads this once, at its import; a user's own setting stays.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    # What MLflow says at level INFO while it creates its tables helps nobody.
    for name in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    workspace.root.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=workspace.tracking_uri, registry_uri=workspace.tracking_uri)
