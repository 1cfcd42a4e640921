"""The records through which stages meet: frozen Pydantic models, one module each."""

from loopline.core.records.bundle import (
    BundleCheck,
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
from loopline.core.records.record import Component, Digest, Name, Record, Time, utc_now
from loopline.core.records.registry import AliasMove, ModelVersion
from loopline.core.records.resume import ResumeProof
from loopline.core.records.run import Artifact, CodeState, DatasetRef, Environment, Run, RunKind, RunStatus
from loopline.core.records.signature import Signature

__all__ = [
    "AliasMove",
    "Artifact",
    "BundleCheck",
    "CalibrationBin",
    "ChannelStatistics",
    "ClassRow",
    "CodeState",
    "Component",
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
    "ResumeProof",
    "Run",
    "RunKind",
    "RunStatus",
    "Runtime",
    "Shard",
    "Signature",
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
