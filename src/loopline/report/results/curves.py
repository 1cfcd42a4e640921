"""What trackers kept: curves as pictures, last values and settings as sentences."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from loopline.report.evidence import Picture, Sentence, listed, number
from loopline.report.results.mlflow_files import newest_mlflow_run
from loopline.report.results.own_runs import newest_own_run
from loopline.report.results.tracked_run import Curve, TrackedRun
from loopline.report.results.wandb_files import newest_wandb_run

_SYSTEM = re.compile(r"^system/|epoch$|step$")
_PRIVATE = re.compile(r"key|token|secret|passw|credential", re.I)
_MAX_PICTURES = 3
_MAX_SETTINGS = 6


def metric_curves(root: Path, files: Iterable[Path]) -> tuple[list[Sentence], list[Picture]]:
    """At most three plots of the newest run's metrics, and what they show; nothing where no tracker left files.

    MLflow comes before W&B, and both before Loopline's own runs, which each of them may hold, too. `files` are the
    project's, below `root`.
    """
    runs = (newest_mlflow_run(root), newest_wandb_run(root, files), newest_own_run(root))
    found = [run for run in runs if run is not None]
    run = next((run for run in found if _shown(run)), next((run for run in found if run.last), None))
    if run is None:
        return [], []
    return _sentences(run), [] if not _shown(run) else _pictures(run)


def _shown(run: TrackedRun) -> dict[str, Curve]:
    """The curves that are worth a look: of metrics, with more than one point."""
    return {name: curve for name, curve in run.curves.items() if len(curve[0]) > 1 and not _SYSTEM.search(name)}


def _sentences(run: TrackedRun) -> list[Sentence]:
    source = (run.source,)
    found = []
    if curves := _shown(run):
        text = f"The newest run with curves, `{run.name}`, tracked {number(len(curves), 'metric')}: {listed(curves)}."
        found.append(Sentence(text, source))
    last = {name: value for name, value in run.last.items() if not _SYSTEM.search(name)}
    if last:
        values = listed(f"`{name}` {value:.4g}" for name, value in sorted(last.items()))
        found.append(Sentence(f"Run `{run.name}` ended with {values}.", source))
    chosen = [(name, value) for name, value in run.settings.items() if not _is_private(name, value)]
    if chosen:
        chosen = sorted(chosen, key=lambda item: (item[0].count("."), item[0]))
        shown = listed((f"`{name}` {str(value)[:40]}" for name, value in chosen), most=_MAX_SETTINGS)
        found.append(Sentence(f"It was configured with {shown}.", source))
    return found


def _is_private(name: str, value: object) -> bool:
    """Whether a setting has a name as of a secret, or a value that is long enough for one."""
    return bool(_PRIVATE.search(name) or re.search(r"\S{24}", str(value)))


def _pictures(run: TrackedRun) -> list[Picture]:
    from loopline.plots.curves import learning_curves_png

    groups: dict[str, dict[str, Curve]] = defaultdict(dict)
    for name, curve in _shown(run).items():
        groups[re.split(r"[/_.]", name)[-1]][name] = curve
    largest = sorted(groups.items(), key=lambda item: -len(item[1]))[:_MAX_PICTURES]
    return [
        Picture(
            f"metrics-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'all'}",
            f"{listed(group)} over the steps of run {run.name}",
            ((".png", learning_curves_png(group)),),
        )
        for name, group in largest
    ]
