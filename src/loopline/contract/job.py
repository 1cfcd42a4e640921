"""A job under a contract: started, waited for, and what it left behind looked at."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from loopline.contract import diagnosis
from loopline.contract.environment import environment_of
from loopline.contract.isolation import Running, Subject, isolation_here, started
from loopline.contract.meter import Meter
from loopline.contract.verdict import image_checks, memory_check, memory_figures
from loopline.core.errors import InputError, StateError
from loopline.core.records import Contract, ContractCheck, ContractRun, utc_now
from loopline.core.records.contract import MIB


def run_job(
    contract: Contract, subject: Subject, *, timeout_s: float = 3600.0, memory_mib: int | None = None
) -> ContractRun:
    """Runs a job as the platform would, to its end, and says how it did; raises `InputError` for one of services.

    The folders of the contract's output variables lie on this machine for as long as the job runs.
    """
    if contract.kind != "job":
        raise InputError(f"contract '{contract.name}' is one of services; expected one of jobs, as vertex-training.")
    limit_mib = memory_mib or contract.memory.default_mib
    if isolation_here() != "bubblewrap":
        raise StateError(
            "a job's folders exist in a sandbox only, and Bubblewrap does not work here.",
            next_command="apt-get install bubblewrap",
        )
    with tempfile.TemporaryDirectory(prefix="loopline-job-") as scratch:
        folders = {**subject.folders, **_bound(contract, Path(scratch))}
        environment = environment_of(contract, subject)
        with started(replace(subject, folders=folders), contract, environment, isolation="bubblewrap") as running:
            counts = contract.disk.counts_as_memory
            with Meter(running, limit_bytes=limit_mib * MIB, counts_folders=counts) as meter:
                checks = [_ended(running, meter, contract, timeout_s)]
            exit_code = running.process.poll()
        for name in contract.output_variables:
            seen = contract.environment[name]
            checks.append(_written(name, seen, Path(scratch) / seen.strip("/")))
    checks.append(memory_check(contract, meter.peak_bytes, limit_mib, killed=meter.killed))
    checks += image_checks(contract, subject.image_bytes)
    return ContractRun(
        contract=contract.name,
        subject=subject.name,
        isolation="bubblewrap",
        memory_limit_mib=limit_mib,
        checks=tuple(checks),
        exit_code=137 if meter.killed else exit_code,
        image_bytes=subject.image_bytes,
        created_at=utc_now(),
        **memory_figures(contract, meter.peak_bytes),
    )


def _bound(contract: Contract, scratch: Path) -> dict[str, Path]:
    """What outlives the job, for a variable names a path in it; each with the folder that stands for it here.

    An image's user, who is not the one that starts it, writes there.
    """
    named = contract.environment.values()
    kept = [folder for folder in contract.disk.writable if any(path.startswith(folder) for path in named)]
    places = {folder: scratch / folder.strip("/") for folder in kept}
    scratch.chmod(0o755)
    for place in places.values():
        place.mkdir(parents=True)
        place.chmod(0o777)
    return places


def _ended(running: Running, meter: Meter, contract: Contract, timeout_s: float) -> ContractCheck:
    try:
        code = running.process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return ContractCheck(name="end", passed=False, found=f"still runs after {timeout_s:g} s", fix="train less here")
    if meter.killed:
        return ContractCheck(name="end", passed=False, found="was ended for its memory")
    lines = running.last_lines()
    if code != 0:
        fix = diagnosis.missing(lines, writable=contract.disk.writable)
        found = f"ended with exit code {code}: {diagnosis.last_words(lines)}"
        return ContractCheck(name="end", passed=False, found=found, fix=fix)
    return ContractCheck(name="end", passed=True, found=f"ended with exit code 0: {diagnosis.last_words(lines)}")


def _written(name: str, seen: str, place: Path) -> ContractCheck:
    files = [path for path in place.rglob("*") if path.is_file()]
    if not files:
        fix = f"write what must stay to ${name}"
        return ContractCheck(name="output", passed=False, found=f"nothing was written to {name} ({seen})", fix=fix)
    num_bytes = sum(path.stat().st_size for path in files)
    return ContractCheck(name="output", passed=True, found=f"{len(files)} files, {num_bytes / MIB:.1f} MiB in {name}")
