"""MLflow's client on the registry: one at a time, quiet, without telemetry, its refusals as one sentence."""

from __future__ import annotations

import getpass
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from loopline.aliases import registry_uri, shown_uri
from loopline.core.errors import StateError
from loopline.core.store import lock
from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# A registration holds the lock while it copies or uploads one bundle.
PATIENCE_S = 60.0


def registry_lock(workspace: Workspace) -> AbstractContextManager[None]:
    """Held by whoever changes the registry from this workspace, from before it looks until after it wrote."""
    return lock(workspace.root / ".registry.lock", holder="the registry", timeout_s=PATIENCE_S)


@contextmanager
def registry_client(workspace: Workspace) -> Iterator[MlflowClient]:
    """A client of the registry; the first one on a new workspace creates the database, which takes some seconds.

    What MLflow refuses inside becomes a `StateError` with the first line of what it said.
    """
    # MLflow reads this once, at its import; a user's own setting stays.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    # What MLflow and Alembic say at level INFO while they create the tables helps nobody; warnings still show.
    for name in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = registry_uri(workspace)
    workspace.root.mkdir(parents=True, exist_ok=True)
    try:
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except MlflowException as error:
        outdated = "out-of-date database schema" in error.message
        raise StateError(
            f"MLflow's registry refused: {error.message.strip().splitlines()[0]}",
            next_command=f"mlflow db upgrade {shown_uri(workspace)}" if outdated else None,
        ) from error


def user_name() -> str:
    """Who is at the keyboard, as the system knows them; empty where it does not (a container without users)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
