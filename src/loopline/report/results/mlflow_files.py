"""MLflow's stores where they lie in a project: a SQLite file or folders of text. Both are only read."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from loopline.report.results.tracked_run import TrackedRun, curves_of

_DATABASES = ("mlflow.db", "mlruns.db", "mlruns/mlflow.db", "workspace/mlflow.db")
_MAX_POINTS = 200_000
_MAX_FILES = 5_000


def newest_mlflow_run(root: Path) -> TrackedRun | None:
    """The newest run with a curve in the project's MLflow store; None where there is none, or none that can be read."""
    return _from_database(root) or _from_folders(root)


def _from_database(root: Path) -> TrackedRun | None:
    paths = (root / name for name in _DATABASES)
    path = next((path for path in paths if path.is_file() and not path.is_symlink()), None)
    if path is None:
        return None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as store:
            newest = store.execute(
                "SELECT run_uuid FROM runs WHERE run_uuid IN (SELECT run_uuid FROM metrics GROUP BY run_uuid, key"
                " HAVING COUNT(*) > 1) ORDER BY start_time DESC LIMIT 1"
            ).fetchone()
            if newest is None:
                return None
            rows = store.execute(
                "SELECT key, step, value FROM metrics WHERE run_uuid = ? AND NOT is_nan ORDER BY key, step LIMIT ?",
                (newest[0], _MAX_POINTS),
            ).fetchall()
    except sqlite3.Error:  # another program's file, or a schema of another time
        return None
    curves = curves_of((str(key), float(step), float(value)) for key, step, value in rows)
    return TrackedRun(path.relative_to(root).as_posix(), str(newest[0])[:8], curves)


def _from_folders(root: Path) -> TrackedRun | None:
    """`mlruns/EXPERIMENT/RUN/metrics/NAME`, a line `time value step` for each value."""
    folders = [path for path in root.glob("mlruns/*/*/metrics") if path.is_dir() and not path.is_symlink()][:_MAX_FILES]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        paths = [path for path in sorted(folder.rglob("*"))[:_MAX_FILES] if path.is_file() and not path.is_symlink()]
        curves = curves_of(
            (path.relative_to(folder).as_posix(), step, value) for path in paths for step, value in _points(path)
        )
        if any(len(steps) > 1 for steps, _ in curves.values()):
            return TrackedRun(folder.relative_to(root).as_posix(), folder.parent.name[:8], curves)
    return None


def _points(path: Path) -> Iterator[tuple[float, float]]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[:_MAX_POINTS]:
        match = re.fullmatch(r"\d{1,20} (\S{1,40}) (-?\d{1,15})", line.strip())
        try:
            value = float(match[1]) if match else math.nan
        except ValueError:
            continue
        if match and math.isfinite(value):
            yield float(match[2]), value
