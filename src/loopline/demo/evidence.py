"""What the stages of the demo leave for its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loopline.core.records import DatasetManifest, DriftReport, Evaluation, ModelBundle, Record, Run


class StageRow(Record):
    """One stage: what came out, how long it took, and the file to look at."""

    stage: str
    result: str
    duration_s: float
    file: str


# Curves by name: steps and values.
Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]


@dataclass(frozen=True)
class ServedPicture:
    """A test picture before and after the corruption, its label, and what the server said to either."""

    clean: bytes
    corrupted: bytes
    label: str
    answer_clean: str
    answer_corrupted: str


@dataclass(frozen=True)
class ServingEvidence:
    """What serving and monitoring left."""

    pictures: Sequence[ServedPicture]
    num_answers: int
    largest_difference: float
    clean: DriftReport
    corrupted: DriftReport


@dataclass(frozen=True)
class LoopEvidence:
    """The records of the other stages, and the run's curves."""

    manifest: DatasetManifest
    run: Run
    curves: Curves
    evaluation: Evaluation
    bundle: ModelBundle
