"""Drift reports of Loopline that lie in a project."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from loopline.core.errors import LooplineError
from loopline.core.records import DriftReport
from loopline.core.store import read_record
from loopline.report.evidence import Sentence, listed

_NAME = "drift.json"
_MAX_BYTES = 8 << 20
_MAX_FILES = 3


def drift_sentences(root: Path, files: Iterable[Path]) -> list[Sentence]:
    """What the newest drift reports among a project's files found."""
    found = []
    for path in files:
        if path.name == _NAME and path.stat().st_size <= _MAX_BYTES:
            try:
                found.append((read_record(DriftReport, path), path))
            except (LooplineError, RecursionError):  # somebody else's `drift.json`
                continue
    newest = sorted(found, key=lambda item: item[0].created_at, reverse=True)[:_MAX_FILES]
    return [Sentence(_sentence(report), (path.relative_to(root).as_posix(),)) for report, path in newest]


def _sentence(report: DriftReport) -> str:
    drifted = [test.feature for test in report.tests if test.drifted]
    found = f"{listed(drifted)} drifted" if drifted else "nothing drifted"
    return (
        f"{report.num_current:,} served predictions of `{report.model}` were held against {report.num_reference:,}"
        f" of the reference on {report.created_at:%Y-%m-%d}: {found}, at a false-alarm rate of"
        f" {report.false_alarm_rate:g}."
    )
