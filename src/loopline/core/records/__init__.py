"""The records through which stages meet: frozen Pydantic models, one module each."""

from loopline.core.records.bundle import (
    FileEntry,
    ModelBundle,
    Parity,
    Reference,
    Runtime,
    TensorSpec,
    TransformStep,
)
from loopline.core.records.dataset import (
    ChannelStatistics,
    DatasetManifest,
    Duplicate,
    InputKind,
    Shard,
    SkippedFile,
    SnapshotCheck,
    SnapshotDiff,
    Split,
    SplitDiff,
    Task,
)
from loopline.core.records.drift import DriftReport, DriftTest
from loopline.core.records.evaluation import (
    CalibrationBin,
    ClassRow,
    Evaluation,
    HardExample,
    Metric,
    PairedComparison,
)
from loopline.core.records.prediction import Prediction
from loopline.core.records.record import Digest, Name, Record, Time, utc_now
from loopline.core.records.registry import AliasMove, ModelVersion
from loopline.core.records.run import Artifact, CodeState, DatasetRef, Environment, Run, RunKind, RunStatus

__all__ = [
    "AliasMove",
    "Artifact",
    "CalibrationBin",
    "ChannelStatistics",
    "ClassRow",
    "CodeState",
    "DatasetManifest",
    "DatasetRef",
    "Digest",
    "DriftReport",
    "DriftTest",
    "Duplicate",
    "Environment",
    "Evaluation",
    "FileEntry",
    "HardExample",
    "InputKind",
    "Metric",
    "ModelBundle",
    "ModelVersion",
    "Name",
    "PairedComparison",
    "Parity",
    "Prediction",
    "Record",
    "Reference",
    "Run",
    "RunKind",
    "RunStatus",
    "Runtime",
    "Shard",
    "SkippedFile",
    "SnapshotCheck",
    "SnapshotDiff",
    "Split",
    "SplitDiff",
    "Task",
    "TensorSpec",
    "Time",
    "TransformStep",
    "utc_now",
]
