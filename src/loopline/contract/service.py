"""A service under a contract: started, asked, loaded, stopped; each demand checked, with figures."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from loopline.contract import asking, diagnosis, processes
from loopline.contract.environment import environment_of
from loopline.contract.isolation import Running, Subject, isolation_here, started
from loopline.contract.meter import Meter
from loopline.contract.verdict import image_checks, memory_check, memory_figures
from loopline.core.records import Contract, ContractCheck, ContractRun, utc_now
from loopline.core.records.contract import MIB

_POLL_S = 0.05
# A server that listens elsewhere for so long will not come to the right port.
_SETTLE_S = 2.0
_DEFAULT_START_S = 240.0
_DEFAULT_REQUEST_S = 60.0


def run_service(
    contract: Contract, subject: Subject, *, example: dict[str, Any] | None = None, memory_mib: int | None = None
) -> ContractRun:
    """Runs a service as the platform would and says how it did; `example` is a JSON body of /predict to ask it.

    A service that needs more than `memory_mib` (default: the contract's) is ended, as it would be, and started once
    more without the limit, to say what it needs. Raises `InputError` for a contract of jobs.
    """
    limit_mib = memory_mib or contract.memory.default_mib
    first = _Trial(contract, subject, example, limit_bytes=limit_mib * MIB)
    checks = list(first.run())
    peak_bytes = first.meter.peak_bytes
    if first.meter.killed:
        unlimited = _Trial(contract, subject, example, limit_bytes=None)
        list(unlimited.run())
        peak_bytes = max(peak_bytes, unlimited.meter.peak_bytes)
    checks.append(memory_check(contract, peak_bytes, limit_mib, killed=first.meter.killed))
    checks += image_checks(contract, subject.image_bytes)
    return ContractRun(
        contract=contract.name,
        subject=subject.name,
        isolation=first.isolation,
        memory_limit_mib=limit_mib,
        checks=tuple(checks),
        cold_start_s=first.cold_start_s,
        stop_s=first.stop_s,
        exit_code=137 if first.meter.killed else first.exit_code,
        image_bytes=subject.image_bytes,
        created_at=utc_now(),
        **memory_figures(contract, peak_bytes),
    )


class _Trial:
    """One start of the service, from the first process to the last."""

    def __init__(
        self, contract: Contract, subject: Subject, example: dict[str, Any] | None, *, limit_bytes: int | None
    ) -> None:
        rule, self.routes = contract.service_rules()
        self.contract = contract
        self.port_variable = rule.variable
        self.subject = subject
        self.example = example
        self.limit_bytes = limit_bytes
        self.isolation = isolation_here()
        # A network of one's own has every port free; on this machine's any port may be taken.
        self.port = rule.number if self.isolation == "bubblewrap" else _free_port()
        self.cold_start_s: float | None = None
        self.stop_s: float | None = None
        self.exit_code: int | None = None

    def run(self) -> Iterator[ContractCheck]:
        """Each demand, in the order in which the platform makes them."""
        environment = environment_of(self.contract, self.subject, port=self.port)
        begun_s = time.perf_counter()
        with started(self.subject, self.contract, environment, isolation=self.isolation) as running:
            counts = self.contract.disk.counts_as_memory
            self.meter = Meter(running, limit_bytes=self.limit_bytes, counts_folders=counts)
            with self.meter:
                start = self._started(running, begun_s)
                yield start
                if start.passed:
                    yield self._user(running)
                    yield from self._asked(running)
                    yield self._stopped(running)
            self.exit_code = running.process.poll()
        yield self._disk()

    def _started(self, running: Running, begun_s: float) -> ContractCheck:
        """Waits for the health route; ends early where the command ended or will never be reached."""
        limit_s = self.contract.limits.start_s or _DEFAULT_START_S
        health = asking.Question(self.routes.health)
        elsewhere_s: float | None = None
        reply = asking.Reply(0, b"")
        while time.perf_counter() - begun_s < limit_s:
            reply = asking.ask(running, self.port, health, timeout_s=5.0)
            if reply.status == 200:
                self.cold_start_s = time.perf_counter() - begun_s
                return self._reachable(running)
            if running.process.poll() is not None:
                return self._ended(running)
            if 400 <= reply.status < 500:
                break
            ports = processes.listening(running.pid)
            if ports and self.port not in [port for _, port in ports]:
                elsewhere_s = elsewhere_s or time.perf_counter()
                if time.perf_counter() - elsewhere_s > _SETTLE_S:
                    return self._wrong_port([port for _, port in ports])
            time.sleep(_POLL_S)
        if 400 <= reply.status < 500:
            return _failed("health", f"{health.path} answers {reply.status}", f"answer 200 at {health.path} when ready")
        words = diagnosis.last_words(running.last_lines())
        return _failed("start", f"not ready after {limit_s:g} s; last words: {words}", "load less, or load it earlier")

    def _reachable(self, running: Running) -> ContractCheck:
        ports = {port: public for public, port in processes.listening(running.pid)}
        if ports.get(self.port) is False:
            return _failed(
                "port", f"listens on 127.0.0.1:{self.port}, which no platform reaches", "listen on 0.0.0.0 (--host)"
            )
        return _passed("start", f"ready on port {self.port} after {self.cold_start_s:.1f} s")

    def _wrong_port(self, ports: list[int]) -> ContractCheck:
        variable = self.port_variable
        told = f"the platform sends requests to {self.port}" + (f" and says so in {variable}" if variable else "")
        found = f"listens on {', '.join(map(str, ports))}; {told}"
        return _failed("port", found, f"listen on the port in {variable}" if variable else f"listen on {self.port}")

    def _ended(self, running: Running) -> ContractCheck:
        lines = running.last_lines()
        writable = self.contract.disk.writable
        if self.meter.killed:
            return _failed("start", "was ended for its memory before it was ready", None)
        fix = diagnosis.missing(lines, writable=writable)
        found = f"ended with exit code {running.process.returncode} before it was ready: {diagnosis.last_words(lines)}"
        return _failed("start", found, fix)

    def _user(self, running: Running) -> ContractCheck:
        if self.isolation != "bubblewrap":
            return ContractCheck(name="user", passed=None, found="not looked at: the command runs as you, unsandboxed")
        user = processes.user_id(running.pid)
        if user == 0:
            return _failed("user", "runs as root", "USER 10001 in the Dockerfile")
        return _passed("user", f"runs as {user}, on a read-only disk")

    def _asked(self, running: Running) -> Iterator[ContractCheck]:
        """One prediction, then as many at once as the platform sends, at most sixteen."""
        limits = self.contract.limits
        if self.example is None:
            yield ContractCheck(name="predict", passed=None, found="not asked: no example that travels as JSON")
            return
        question = asking.prediction(self.routes, self.example)
        size = len(question.body or b"")
        if limits.request_bytes is not None and size > limits.request_bytes:
            found = f"the example has {size:,} bytes; the platform takes {limits.request_bytes:,}"
            yield _failed("request", found, "send smaller pictures, or an address of them")
            return
        timeout_s = limits.request_s or _DEFAULT_REQUEST_S
        begun_s = time.perf_counter()
        reply = asking.ask(running, self.port, question, timeout_s=timeout_s)
        if reply.status != 200 or (limits.answer_bytes is not None and len(reply.body) > limits.answer_bytes):
            yield _failed("predict", f"{question.path} answers {reply.status}: {reply.text}", self._fix_of(running))
            return
        yield _passed("predict", f"{question.path} answers 200 in {1000 * (time.perf_counter() - begun_s):.0f} ms")
        num = min(limits.concurrency or asking.MOST_AT_ONCE, asking.MOST_AT_ONCE)
        replies = asking.ask_at_once(running, self.port, question, num, timeout_s=timeout_s)
        bad = [reply for reply in replies if reply.status != 200]
        if bad:
            found = f"{len(bad)} of {num} requests at once failed, the first with {bad[0].status}: {bad[0].text}"
            yield _failed("concurrency", found, "allow fewer at once (--concurrency)")
        else:
            yield _passed("concurrency", f"{num} at once: all answered")

    def _fix_of(self, running: Running) -> str | None:
        return diagnosis.missing(running.last_lines(), writable=self.contract.disk.writable)

    def _stopped(self, running: Running) -> ContractCheck:
        """SIGTERM, as the platform sends it; what still runs after its time is killed."""
        limit_s = self.contract.limits.stop_s
        begun_s = time.perf_counter()
        try:
            os.kill(running.pid, signal.SIGTERM)
            running.process.wait(limit_s)
        except ProcessLookupError:
            return _failed("stop", "ended before it was told to", self._fix_of(running))
        except subprocess.TimeoutExpired:
            return _failed(
                "stop", f"still runs {limit_s:g} s after SIGTERM", "handle SIGTERM; start it without a shell"
            )
        self.stop_s = time.perf_counter() - begun_s
        code = running.process.returncode
        if code not in (0, 128 + signal.SIGTERM, -signal.SIGTERM):
            return _failed("stop", f"ended with exit code {code} after SIGTERM", self._fix_of(running))
        return _passed("stop", f"ended {self.stop_s:.1f} s after SIGTERM with exit code {code}")

    def _disk(self) -> ContractCheck:
        if self.isolation != "bubblewrap":
            found = "not looked at: install bubblewrap for a read-only disk"
            return ContractCheck(name="disk", passed=None, found=found)
        rule, used = self.contract.disk, self.meter.peak_folder_bytes
        place = " and ".join(rule.writable)
        found = f"{used / MIB:.1f} MiB in {place}{', counted as memory' if rule.counts_as_memory else ''}"
        if rule.limit_mib is not None and used >= rule.limit_mib * MIB:
            return _failed("disk", f"{found}; the platform has {rule.limit_mib} MiB", "write less, or ask for more")
        return _passed("disk", found)


def _passed(name: str, found: str) -> ContractCheck:
    return ContractCheck(name=name, passed=True, found=found)


def _failed(name: str, found: str, fix: str | None) -> ContractCheck:
    return ContractCheck(name=name, passed=False, found=found, fix=fix)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
