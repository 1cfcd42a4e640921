"""A service under a contract: what holds passes, and every fault of a service is named with what mends it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from loopline.contract import Subject, read_contract, run_service
from loopline.contract.environment import environment_of
from loopline.core.records import Contract, ContractCheck, ContractRun

Service = Callable[..., Subject]
EXAMPLE = {"values": [1.0, 2.0]}


def check(run: ContractRun, name: str) -> ContractCheck:
    """The check of that name."""
    return next(each for each in run.checks if each.name == name)


def test_a_good_service_keeps_every_demand(sandbox: str, service: Service, contract: Contract) -> None:
    """Started, asked, loaded, stopped, with figures."""
    run = run_service(contract, service(), example=EXAMPLE)
    assert {each.name: each.passed for each in run.checks} == dict.fromkeys(
        ("start", "user", "predict", "concurrency", "stop", "disk", "memory"), True
    )
    assert run.passed
    assert run.isolation == sandbox
    assert run.exit_code == 0
    assert run.smallest_fit_mib == 512
    assert run.peak_memory_bytes is not None
    assert run.peak_memory_bytes > 5_000_000
    assert run.cold_start_s is not None
    assert check(run, "user").found == "runs as 10001, on a read-only disk"


def test_a_wrong_port_is_named(sandbox: str, service: Service, contract: Contract) -> None:
    """Within seconds, not after the four minutes that the platform waits."""
    run = run_service(contract, service(port="8000"), example=EXAMPLE)
    found = check(run, "port")
    assert found.found == "listens on 8000; the platform sends requests to 8080 and says so in PORT"
    assert found.fix == "listen on the port in PORT"
    assert not run.passed


def test_a_service_that_only_its_container_reaches_is_named(sandbox: str, service: Service, contract: Contract) -> None:
    run = run_service(contract, service(host="127.0.0.1"))
    assert check(run, "port").found == "listens on 127.0.0.1:8080, which no platform reaches"


def test_too_little_memory_is_named_with_what_is_needed(sandbox: str, service: Service, contract: Contract) -> None:
    """Ended as the platform would end it, and measured once more without the limit."""
    run = run_service(contract, service(before="kept = b'x' * (600 << 20)"), example=EXAMPLE)
    found = check(run, "memory")
    assert run.exit_code == 137
    assert found.found.startswith("needs about 6")
    assert found.found.endswith("limit 512 MiB")
    assert found.fix == "set --memory 1Gi"
    assert run.smallest_fit_mib == 1024


def test_what_lies_in_tmp_counts_as_memory(sandbox: str, service: Service, contract: Contract) -> None:
    """On Cloud Run it does, and 600 MiB of it end the service; on Lambda it does not, but has a limit of its own."""
    fills = service(before="open('/tmp/big', 'wb').write(b'x' * (100 << 20))")
    peak_bytes = run_service(contract, fills).peak_memory_bytes
    elsewhere = run_service(read_contract("lambda"), fills)
    assert peak_bytes is not None
    assert elsewhere.peak_memory_bytes is not None
    assert peak_bytes - elsewhere.peak_memory_bytes > 50 << 20
    assert "100.0 MiB in /tmp" in check(elsewhere, "disk").found


@pytest.mark.parametrize(
    ("fault", "fix"),
    [
        ("open('/srv-log', 'w')", "it writes to '/srv-log', and the disk is read-only: write to /tmp"),
        ("open('/srv/model.onnx')", "the file '/srv/model.onnx' is missing: copy it into the image"),
        ("os.environ['MODEL_NAME']", "the variable MODEL_NAME is missing: declare it for the service"),
        ("import torch", "the package 'torch' is missing in the image: add it to the requirements"),
    ],
)
def test_what_a_service_missed_is_named(
    sandbox: str, service: Service, contract: Contract, fault: str, fix: str
) -> None:
    start = check(run_service(contract, service(before=fault)), "start")
    assert start.passed is False
    assert start.fix is not None
    assert start.fix.startswith(fix)


def test_variables_of_this_machine_are_not_seen(
    sandbox: str, service: Service, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is declared, and what the platform sets."""
    monkeypatch.setenv("MODEL_NAME", "of this machine")
    needs = {"before": "os.environ['MODEL_NAME']; os.environ['K_SERVICE']"}
    assert not run_service(contract, service(**needs)).passed
    assert run_service(contract, service(**needs, environment={"MODEL_NAME": "declared"})).passed


def test_it_has_the_platforms_cores(sandbox: str, service: Service, contract: Contract) -> None:
    """One on Cloud Run, however many this machine has."""
    one = "assert len(os.sched_getaffinity(0)) == 1, os.sched_getaffinity(0)"
    assert contract.num_cpus == 1
    assert run_service(contract, service(before=one)).passed


def test_a_service_that_ignores_the_signal_is_named(sandbox: str, service: Service, contract: Contract) -> None:
    """As process 1 a command that does not listen to SIGTERM does not end by it."""
    impatient = contract.model_copy(update={"limits": contract.limits.model_copy(update={"stop_s": 1.0})})
    stop = check(run_service(impatient, service(after="")), "stop")
    assert stop.found == "still runs 1 s after SIGTERM"
    assert stop.fix == "handle SIGTERM; start it without a shell"


def test_a_service_that_is_never_ready_is_named(sandbox: str, service: Service, quick: Contract) -> None:
    """One without the route, and one that starts too slowly."""
    assert check(run_service(quick, service(health='"/other"')), "health").found == "/readyz answers 404"
    slow = run_service(quick, service(before="print('loading', flush=True); time.sleep(60)"))
    assert check(slow, "start").found == "not ready after 5 s; last words: loading"


def test_an_answer_that_is_none_is_named(sandbox: str, service: Service, contract: Contract) -> None:
    run = run_service(contract, service(on_post="return self.answer(500, {})"), example=EXAMPLE)
    assert check(run, "predict").found.startswith("/predict answers 500")


def test_a_request_that_is_too_large_is_not_sent(sandbox: str, service: Service) -> None:
    """Vertex takes one and a half megabytes; its routes and its envelope are its own."""
    contract = read_contract("vertex-prediction")
    routed = service(
        port='int(os.environ["AIP_HTTP_PORT"])',
        health='os.environ["AIP_HEALTH_ROUTE"]',
        on_post='assert list(body) == ["instances"] and self.path == os.environ["AIP_PREDICT_ROUTE"]',
    )
    assert run_service(contract, routed, example=EXAMPLE).passed
    large = run_service(contract, routed, example={"image": "x" * 2_000_000})
    assert "the platform takes 1,500,000" in check(large, "request").found


def test_there_is_no_metadata_server(sandbox: str, service: Service, contract: Contract) -> None:
    """Nor any other network: a service that asks for credentials at its start does not get this machine's."""
    asks = "import socket; socket.create_connection(('169.254.169.254', 80), timeout=3)"
    start = check(run_service(contract, service(before=asks)), "start")
    assert "Network is unreachable" in start.found


def test_without_a_sandbox_the_rest_is_checked(
    service: Service, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary process, on a free port, and what could not be looked at is said."""
    monkeypatch.setattr("loopline.contract.service.isolation_here", lambda: "process")
    run = run_service(contract, service(), example=EXAMPLE)
    assert run.isolation == "process"
    assert run.passed
    assert {each.name for each in run.checks if each.passed is None} >= {"user", "disk"}


def test_the_environment_is_the_contracts(tmp_path: Path) -> None:
    """The platform's variables win over the image's; the port and the paths are told."""
    subject = Subject("a", (sys.executable,), {"PORT": "1", "PATH": "/opt/venv/bin"})
    variables = environment_of(read_contract("vertex-prediction"), subject)
    assert variables["AIP_HTTP_PORT"] == "8080"
    assert variables["AIP_PREDICT_ROUTE"].endswith(":predict")
    assert variables["PATH"] == "/opt/venv/bin"
    assert "USER" not in variables or "USER" not in os.environ
