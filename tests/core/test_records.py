"""What every record promises, whichever module it is written in, and what each checks about its own parts."""

from __future__ import annotations

import importlib
import json
import re
import warnings
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

import loopline
from loopline.core.records import (
    DatasetManifest,
    DriftReport,
    Evaluation,
    ModelBundle,
    ModelVersion,
    Record,
    ResumeProof,
    Run,
    Signature,
    TensorSpec,
    utc_now,
)

GOLDEN = Path(__file__).parent.parent / "frozen" / "records"


def record_kinds() -> list[type[Record]]:
    """Every subclass of Record in Loopline; only modules that define one are imported."""
    root = Path(loopline.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if re.search(r"^class \w+\((Record|BaseModel)\)", path.read_text(encoding="utf-8"), re.MULTILINE):
            # What libraries advise against while they are imported is not what is tested here.
            with warnings.catch_warnings(action="ignore"):
                importlib.import_module(".".join(("loopline", *path.relative_to(root).with_suffix("").parts)))
    found: set[type[Record]] = set()
    waiting: list[type[Record]] = [Record]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            if kind.__module__.startswith("loopline.") and kind not in found:
                found.add(kind)
                waiting.append(kind)
    return sorted(found, key=lambda kind: kind.__name__)


KINDS = record_kinds()
# A record with a schema version is a file of its own, which somebody may have kept.
FILES = [kind for kind in KINDS if "schema_version" in kind.model_fields]


def golden_name(kind: type[Record], version: int) -> str:
    """`ModelBundle`, 1 → `model_bundle.v1.json`."""
    return f"{re.sub('(?<!^)(?=[A-Z])', '_', kind.__name__).lower()}.v{version}.json"


def golden(kind: type[Record]) -> dict[str, Any]:
    """The golden file of a record, as JSON."""
    value: dict[str, Any] = json.loads((GOLDEN / golden_name(kind, 1)).read_text(encoding="utf-8"))
    return value


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_record_refuses_an_unknown_key(kind: type[Record]) -> None:
    """A mistyped key is an error in every record."""
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({"no_such_key": 1})
    assert ("no_such_key",) in [item["loc"] for item in caught.value.errors() if item["type"] == "extra_forbidden"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_record_is_frozen(kind: type[Record]) -> None:
    """No record can be changed once it exists."""
    assert kind.model_config["frozen"]


@pytest.mark.parametrize("kind", FILES, ids=lambda kind: kind.__name__)
def test_every_schema_version_still_loads(kind: type[Record]) -> None:
    """A golden file of every version of the schema loads, and says the same when it is written again."""
    newest = max(get_args(kind.model_fields["schema_version"].annotation))
    for version in range(1, newest + 1):
        text = (GOLDEN / golden_name(kind, version)).read_text(encoding="utf-8")
        record = kind.model_validate_json(text)
        assert kind.model_validate(record.model_dump(mode="json")) == record


def test_every_golden_file_belongs_to_a_record() -> None:
    """A golden file that nothing reads would prove nothing."""
    expected = {re.sub(r"\.v\d+$", "", golden_name(kind, 1).removesuffix(".json")) for kind in FILES}
    assert {path.name.split(".")[0] for path in GOLDEN.iterdir()} == expected


@pytest.mark.parametrize(
    ("kind", "change", "problem"),
    [
        (Run, {"ended_at": None}, "a completed run needs ended_at"),
        (Run, {"status": "running"}, "a running run has no end"),
        (Run, {"status": "failed"}, "a run has an error exactly when it failed"),
        (Run, {"error": "out of memory"}, "a run has an error exactly when it failed"),
        (Run, {"ended_at": "2026-11-20T00:00:00Z"}, "a run cannot end before it starts"),
        (Run, {"metrics": {"test/accuracy": float("nan")}}, "finite number"),
        (Run, {"started_at": "2026-11-21T12:00:00"}, "a time needs its zone"),
        (Run, {"run_id": "../up"}, "String should match pattern"),
        (DatasetManifest, {"label_names": []}, "a classification snapshot needs label names"),
        (DatasetManifest, {"label_names": ["one"]}, "counts 2 classes, not every label name"),
        (Evaluation, {"primary_metric": "f1"}, "primary metric 'f1' is not among the metrics"),
        (Evaluation, {"confusion": [[1, 0], [0, 0]]}, "the confusion matrix does not sum to num_examples"),
        (ModelBundle, {"graphs": {"float32": "other.onnx"}}, "named but not listed in files: other.onnx"),
        (DriftReport, {"drifted": True}, "the verdict differs from the tests'"),
        (Signature, {"num_outputs": 3}, "3 outputs for 2 label names"),
        (ResumeProof, {"metrics_equal": False}, "the verdict differs from the digests and metrics"),
        (ModelVersion, {"number": 0}, "greater than or equal to 1"),
    ],
)
def test_a_record_whose_parts_disagree_does_not_exist(kind: type[Record], change: dict[str, Any], problem: str) -> None:
    """A record refuses values that contradict each other, and says which."""
    with pytest.raises(ValidationError, match=re.escape(problem)):
        kind.model_validate({**golden(kind), **change})


@pytest.mark.parametrize("path", ["/etc/passwd", "../up.onnx", "a\\b"])
def test_a_bundle_lists_no_file_outside_itself(path: str) -> None:
    """A path that leaves the bundle's folder is refused."""
    value = golden(ModelBundle)
    value["files"][path] = value["files"]["model.onnx"]
    with pytest.raises(ValidationError, match="leaves the bundle's folder"):
        ModelBundle.model_validate(value)


def test_parity_beyond_its_tolerance_does_not_exist() -> None:
    """A bundle cannot state that it differs more from the checkpoint than it tolerates."""
    value = golden(ModelBundle)
    value["parity"]["max_abs_error"] = 1.0
    with pytest.raises(ValidationError, match=re.escape("parity 1 exceeds its tolerance 0.0001")):
        ModelBundle.model_validate(value)


def test_a_split_whose_counts_disagree_does_not_exist() -> None:
    """The shards and the classes of a split sum to its examples."""
    value = golden(DatasetManifest)
    value["splits"]["train"]["num_examples"] = 4
    with pytest.raises(ValidationError, match="the shards' num_examples do not sum to the split's"):
        DatasetManifest.model_validate(value)
    value = golden(DatasetManifest)
    value["splits"]["train"]["class_counts"] = [1, 1]
    with pytest.raises(ValidationError, match="the class counts do not sum to num_examples"):
        DatasetManifest.model_validate(value)


@pytest.mark.parametrize(
    ("axes", "shape", "problem"),
    [
        (["batch"], [None, 3], "axes and shape differ in length"),
        (["channel"], [3], "the first axis must be the free axis 'batch'"),
        (["batch"], [8], "the first axis must be the free axis 'batch'"),
    ],
)
def test_a_tensor_has_a_free_batch_axis(axes: list[str], shape: list[int | None], problem: str) -> None:
    """Every graph input and output starts with the free axis `batch`."""
    with pytest.raises(ValidationError, match=problem):
        TensorSpec.model_validate({"name": "x", "dtype": "float32", "axes": axes, "shape": shape})


def test_times_are_kept_in_utc() -> None:
    """A time with another zone is the same moment in UTC, and so it is written."""
    east = datetime(2026, 11, 21, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    version = ModelVersion.model_validate({**golden(ModelVersion), "created_at": east})
    assert version.created_at.tzinfo is UTC
    assert version.model_dump(mode="json")["created_at"] == "2026-11-21T12:00:00Z"
    assert utc_now().tzinfo is UTC


def test_what_records_derive() -> None:
    """A run knows how long it took, a version how commands call it."""
    run = Run.model_validate(golden(Run))
    assert run.duration_s == 120.0
    running = Run.model_validate({**golden(Run), "status": "running", "ended_at": None})
    assert running.duration_s is None
    assert ModelVersion.model_validate(golden(ModelVersion)).reference == "fashion@3"
