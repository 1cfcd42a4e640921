"""`tracking=wandb`: Weights & Biases; offline, in the run's folder, unless WANDB_API_KEY is in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from loopline.core.records import RunStatus
from loopline.core.workspace import Workspace
from loopline.runs import RunFolder
from loopline.tracking.tracker import Tracker, TrackerConfig


class WandbConfig(TrackerConfig):
    """The project that runs stand under. WANDB_MODE, WANDB_ENTITY and the like are read by wandb itself."""

    name: Literal["wandb"] = "wandb"
    project: str = Field(default="loopline", min_length=1)

    def open(self, run: RunFolder, workspace: Workspace) -> tuple[Tracker, str | None]:
        import wandb

        # None leaves the choice to WANDB_MODE.
        mode: Literal["online", "offline"] | None = None
        if not os.environ.get("WANDB_MODE"):
            mode = "online" if os.environ.get("WANDB_API_KEY") else "offline"
        opened = wandb.init(
            project=self.project,
            id=run.record.run_id,
            name=run.record.run_id,
            # The trials of a sweep stand together.
            group=run.record.parent,
            dir=str(run.path),
            mode=mode,
            # Only a server knows an earlier part of the run; offline parts are joined by `wandb sync --append`.
            resume=None if mode == "offline" else "allow",
            settings=wandb.Settings(console="off", silent=True),
        )
        return WandbTracker(opened), run.record.run_id


class WandbTracker:
    """One Weights & Biases run, open."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def log_params(self, params: Mapping[str, Any]) -> None:
        self._run.config.update(dict(params), allow_val_change=True)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self._run.log(dict(metrics), step=step)

    def log_artifact(self, path: Path) -> None:
        self._run.save(str(path), base_path=str(path.parent), policy="now")

    def finish(self, status: RunStatus) -> None:
        self._run.finish(exit_code=0 if status == "completed" else 1)
