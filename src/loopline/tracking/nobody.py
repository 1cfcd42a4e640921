"""`tracking=none`: the run's own files are enough."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from loopline.core.records import RunStatus
from loopline.core.workspace import Workspace
from loopline.runs import RunFolder
from loopline.tracking.tracker import Tracker, TrackerConfig


class NobodyConfig(TrackerConfig):
    """No parameters."""

    name: Literal["none"] = "none"

    def open(self, run: RunFolder, workspace: Workspace) -> tuple[Tracker, str | None]:
        return Nobody(), None


class Nobody:
    """Hears everything, keeps nothing."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        return None

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        return None

    def log_artifact(self, path: Path) -> None:
        return None

    def finish(self, status: RunStatus) -> None:
        return None
