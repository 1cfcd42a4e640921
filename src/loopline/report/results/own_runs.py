"""Training runs of Loopline in a project's workspace."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

from loopline.core.errors import LooplineError
from loopline.core.workspace import Workspace
from loopline.report.results.tracked_run import TrackedRun, curves_of
from loopline.runs import METRICS_FILE, flat, list_runs, run_folder

_WORKSPACES = ("workspace", ".")
_MAX_LINES = 200_000


def newest_own_run(root: Path) -> TrackedRun | None:
    """The newest run with metrics in the project's workspace; None where there is none, or a record is damaged."""
    for name in _WORKSPACES:
        workspace = Workspace(root / name)
        try:
            runs = list_runs(workspace)
        except (LooplineError, OSError):
            continue
        for run in runs:
            path = run_folder(run, workspace) / METRICS_FILE
            if path.is_file() and not path.is_symlink():
                source = path.relative_to(root).as_posix()
                return TrackedRun(source, run.run_id, curves_of(_points(path)), run.metrics, flat(run.config))
    return None


def _points(path: Path) -> Iterator[tuple[str, float, float]]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[:_MAX_LINES]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # the line that the process was killed in
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            yield from (
                (name, float(row["step"]), float(value))
                for name, value in row.items()
                if name != "step" and isinstance(value, int | float) and math.isfinite(value)
            )
