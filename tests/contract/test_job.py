"""A job under a contract: to its end, and what it left behind."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loopline.contract import Subject, read_contract, run_job
from loopline.core.errors import InputError, StateError
from loopline.core.records import ContractRun


def job(folder: Path, code: str) -> Subject:
    """A few lines of Python as a job."""
    shown = dict.fromkeys((folder, Path(sys.prefix), Path(sys.base_prefix)))
    visible = {str(path): path for path in shown}
    return Subject("job", (sys.executable, "-I", "-S", "-c", f"import json, os, time\n{code}"), visible=visible)


def found(run: ContractRun) -> dict[str, tuple[bool | None, str]]:
    """Each check's verdict and words."""
    return {check.name: (check.passed, check.found) for check in run.checks}


def test_a_job_that_leaves_its_model_passes(sandbox: str, tmp_path: Path) -> None:
    """The platform's variables are there, and what was written under one of them counts."""
    code = (
        "assert json.loads(os.environ['CLUSTER_SPEC'])['task']['index'] == 0\n"
        "os.makedirs(os.environ['AIP_MODEL_DIR'])\n"
        "open(os.environ['AIP_MODEL_DIR'] + 'model.onnx', 'wb').write(b'x' * 2_000_000)"
    )
    run = run_job(read_contract("vertex-training"), job(tmp_path, code))
    assert run.passed
    assert run.exit_code == 0
    assert found(run)["output"] == (True, "1 files, 1.9 MiB in AIP_MODEL_DIR")


def test_a_job_that_keeps_nothing_is_named(sandbox: str, tmp_path: Path) -> None:
    """What was written elsewhere goes with the machine."""
    run = run_job(read_contract("vertex-training"), job(tmp_path, "open('/tmp/model.onnx', 'w')"))
    assert found(run)["output"] == (False, "nothing was written to AIP_MODEL_DIR (/gcs/my-bucket/job/model/)")


def test_a_job_that_fails_is_named(sandbox: str, tmp_path: Path) -> None:
    """By its last words, with what it missed; so is one that never ends or takes too much."""
    contract = read_contract("vertex-training")
    failed = run_job(contract, job(tmp_path, "open('/data/train.csv')"))
    assert failed.exit_code == 1
    assert "No such file or directory: '/data/train.csv'" in found(failed)["end"][1]
    refused = run_job(contract, job(tmp_path, "print('error: no data.\\n  next: make data'); raise SystemExit(1)"))
    assert found(refused)["end"] == (False, "ended with exit code 1: error: no data.")
    endless = run_job(contract, job(tmp_path, "time.sleep(60)"), timeout_s=1.0)
    assert found(endless)["end"] == (False, "still runs after 1 s")
    large = run_job(contract, job(tmp_path, "kept = b'x' * (200 << 20); time.sleep(60)"), memory_mib=100)
    assert found(large)["end"] == (False, "was ended for its memory")
    assert large.exit_code == 137


def test_a_job_needs_a_contract_of_jobs_and_a_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="'cloudrun' is one of services; expected one of jobs"):
        run_job(read_contract("cloudrun"), job(tmp_path, ""))
    monkeypatch.setattr("loopline.contract.job.isolation_here", lambda: "process")
    with pytest.raises(StateError, match="apt-get install bubblewrap"):
        run_job(read_contract("vertex-training"), job(tmp_path, ""))


def test_the_image_is_measured(sandbox: str, tmp_path: Path) -> None:
    """Where the platform takes images up to a size."""
    subject = replace(job(tmp_path, ""), image_bytes=480_000_000)
    assert found(run_job(read_contract("vertex-training"), subject))["image"] == (True, "480 MB uncompressed")
