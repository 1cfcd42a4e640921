"""Curves of tracked metrics, from MLflow's stores where they lie in a project: a SQLite file or folders of text."""

from __future__ import annotations

import math
import re
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from loopline.report.evidence import Picture, Sentence, listed, number

Curve = tuple[Sequence[float], Sequence[float]]
_DATABASES = ("mlflow.db", "mlruns.db", "mlruns/mlflow.db", "workspace/mlflow.db")
_SYSTEM = re.compile(r"^system/|epoch$|step$")
_MAX_PICTURES = 3
_MAX_POINTS = 200_000
_MAX_FILES = 5_000


def metric_curves(root: Path) -> tuple[list[Sentence], list[Picture]]:
    """At most three plots of the newest run's metrics, and what they show; nothing where the project has no store."""
    from loopline.plots.curves import learning_curves_png

    for store in (_from_database, _from_folders):
        found = store(root)
        if found is None:
            continue
        source, run, curves = found
        curves = {name: curve for name, curve in curves.items() if len(curve[0]) > 1 and not _SYSTEM.search(name)}
        groups: dict[str, dict[str, Curve]] = defaultdict(dict)
        for name, curve in sorted(curves.items()):
            groups[re.split(r"[/_]", name)[-1]][name] = curve
        largest = sorted(groups.items(), key=lambda item: -len(item[1]))[:_MAX_PICTURES]
        pictures = [
            Picture(
                f"metrics-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'all'}",
                f"{listed(group)} over the steps of run {run}",
                ((".png", learning_curves_png(group)),),
            )
            for name, group in largest
        ]
        if curves:
            text = f"The newest run with curves, `{run}`, tracked {number(len(curves), 'metric')}: {listed(curves)}."
            return [Sentence(text, (source,))], pictures
    return [], []


def _from_database(root: Path) -> tuple[str, str, Mapping[str, Curve]] | None:
    """MLflow's SQLite store, read only."""
    path = next(
        (root / name for name in _DATABASES if (root / name).is_file() and not (root / name).is_symlink()), None
    )
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
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for key, step, value in rows:
        points[str(key)].append((float(step), float(value)))
    return (
        path.relative_to(root).as_posix(),
        str(newest[0])[:8],
        {name: _curve(group) for name, group in points.items()},
    )


def _from_folders(root: Path) -> tuple[str, str, Mapping[str, Curve]] | None:
    """MLflow's folders: `mlruns/EXPERIMENT/RUN/metrics/NAME`, a line `time value step` for each value."""
    folders = [path for path in root.glob("mlruns/*/*/metrics") if path.is_dir() and not path.is_symlink()][:_MAX_FILES]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        curves = {}
        for path in sorted(folder.rglob("*"))[:_MAX_FILES]:
            if path.is_file() and not path.is_symlink():
                curves[path.relative_to(folder).as_posix()] = _curve(_points(path))
        if any(len(steps) > 1 for steps, _ in curves.values()):
            return folder.relative_to(root).as_posix(), folder.parent.name[:8], curves
    return None


def _points(path: Path) -> list[tuple[float, float]]:
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[:_MAX_POINTS]:
        match = re.fullmatch(r"\d{1,20} (\S{1,40}) (-?\d{1,15})", line.strip())
        try:
            value = float(match[1]) if match else math.nan
        except ValueError:
            continue
        if match and math.isfinite(value):
            found.append((float(match[2]), value))
    return found


def _curve(points: Sequence[tuple[float, float]]) -> Curve:
    ordered = sorted(points)
    return [step for step, _ in ordered], [value for _, value in ordered]
