"""Worker processes behind one address: each is a whole server with its own event loop, engine and log.

    supervisor: binds, forks ──┬── worker 0: accepts from the one socket, decodes, predicts, logs
       ^    starts again       ├── worker 1: …
       └─── what died ─────────┘

One process per core needs no thread but its own to be fast, and takes nobody with it when it is killed. The supervisor
imports what a worker needs and forks, so that workers share that memory and a new one is there in moments; it opens
no engine and starts no thread. A worker whose event loop stands still is killed, and replaced like one that died.
"""

from __future__ import annotations

import logging
import math
import mmap
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Protocol, TypeVar

from loopline.core.errors import LooplineError, StateError

_LOGGER = logging.getLogger(__name__)
# A worker that dies before it answers is tried again after a while, twice as long every time.
_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 10.0
# As a container sees its own control group (version 2): microseconds that it may compute in each period.
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
# How often a worker asks whether the others have proved their parts.
_PROOF_POLL_S = 0.002
# How much longer than its requests a worker may take to end before it is killed.
_STOP_GRACE_S = 5.0


class Verify(Protocol):
    """Proves a bundle, or one of the parts that several processes share; raises where it is not as it should be."""

    def __call__(self, *, part: int = 0, num_parts: int = 1) -> None: ...


@dataclass(frozen=True)
class Worker:
    """Which of the processes behind one address this is; `serve` makes it, a service may ask it."""

    index: int = 0
    num_workers: int = 1
    # A private folder that all workers see and that goes with the supervisor; None for a process that is alone.
    folder: Path | None = None
    # Shared by all workers: how many connections each has open, at its index.
    connections: memoryview | None = None
    # Shared as well: when each was last known to be alive, of `time.monotonic`; 0 before it answers.
    heartbeats: memoryview[float] | None = None
    # Shared by workers that start together: which of them have proved their part of the bundle, 1 at their index. None
    # for a process that proves all of it.
    proofs: memoryview | None = None
    # The process to end with; None for a process that is alone.
    supervisor_id: int | None = None

    def beat(self) -> None:
        """Says that the event loop goes round."""
        if self.heartbeats is not None:
            self.heartbeats[self.index] = time.monotonic()

    def share_proof(self, verify: Verify) -> None:
        """Proves this worker's part, and returns once every worker proved its own: nobody answers before all is proved.

        One that fails ends the server, and whoever waits here with it; one that is started later proves everything.
        Raises what `verify` raises.
        """
        if self.proofs is None:
            verify()
            return
        verify(part=self.index, num_parts=self.num_workers)
        self.proofs[self.index] = 1
        while 0 in self.proofs and not self.is_orphan:
            time.sleep(_PROOF_POLL_S)

    @property
    def is_orphan(self) -> bool:
        """True when the supervisor is gone and nobody would end or replace this process."""
        return self.supervisor_id is not None and os.getppid() != self.supervisor_id


T = TypeVar("T")

# A process that serves by itself.
ALONE = Worker()
# Serves until it is told to stop; calls the second argument once it answers.
Work = Callable[[Worker, Callable[[], None]], None]


def can_fork() -> bool:
    """Whether worker processes can be made here: on Linux, from a process that has one thread."""
    # A forked process has the threads' locks and not the threads. Elsewhere forking is forbidden or unsafe by itself.
    return sys.platform == "linux" and len(list(Path("/proc/self/task").iterdir())) == 1


def num_cores() -> int:
    """The cores that this process may use: those it may run on, and no more than its container may spend."""
    if sys.platform != "linux":
        return os.cpu_count() or 1
    return min(len(os.sched_getaffinity(0)), _quota_cores(_CPU_QUOTA))


def _quota_cores(file: Path) -> int:
    """How many cores a control group's quota comes to, a share of one counting as one; many where there is none."""
    try:
        quota_us, period_us = file.read_text().split()
    except (OSError, ValueError):
        return sys.maxsize
    return sys.maxsize if quota_us == "max" else max(1, math.ceil(int(quota_us) / int(period_us)))


def supervise(
    work: Work,
    *,
    num_workers: int,
    on_ready: Callable[[], None],
    on_stop: Callable[[], None],
    stop_timeout_s: float,
    hang_timeout_s: float,
) -> None:
    """Runs `work` in so many processes until SIGTERM or SIGINT; one that dies is started again.

    So is one that answered and has not called `Worker.beat` for `hang_timeout_s`. `on_ready` is called once, when all
    answer, `on_stop` once, before they are told to end. Returns when all have ended; one that needs longer than
    `stop_timeout_s` is killed. Before all answered, raises what one refuses with, and `StateError` where one dies.
    """
    with tempfile.TemporaryDirectory(prefix="loopline-serve-") as folder:
        supervisor = _Supervisor(work, num_workers, Path(folder), hang_timeout_s)
        try:
            supervisor.run(on_ready)
        finally:
            on_stop()
            supervisor.end_all(stop_timeout_s)


def run_apart(function: Callable[[], T]) -> T:
    """What `function` returns, computed in a forked process that leaves this one without threads and memory of it.

    Raises the `LooplineError` that it raises, and `StateError` where the process dies.
    """
    context = multiprocessing.get_context("fork")
    said, says = context.Pipe(duplex=False)

    def run() -> None:
        try:
            says.send(function())
        except LooplineError as error:
            says.send(_plain(error))

    process = context.Process(target=run, name="apart")
    process.start()
    says.close()
    try:
        result: T | LooplineError = said.recv()
    except EOFError:
        raise StateError("the process that tries engines died.", next_command="loopline serve --help") from None
    finally:
        said.close()
        process.join()
    if isinstance(result, LooplineError):
        raise result
    return result


@dataclass
class _Slot:
    """The place of one worker, whoever fills it at the moment."""

    worker: Worker
    process: BaseProcess | None = None
    # Where the process says that it answers, or why it never will.
    said: Connection | None = None
    retry_s: float = _FIRST_RETRY_S
    # Of `time.monotonic`; when an empty slot is filled.
    due_s: float = 0.0


class _Supervisor:
    def __init__(self, work: Work, num_workers: int, folder: Path, hang_timeout_s: float) -> None:
        self._work = work
        self._hang_timeout_s = hang_timeout_s
        self._context = multiprocessing.get_context("fork")
        # Anonymous memory that forked processes share.
        self._connections = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("i")[:num_workers]
        self._heartbeats = memoryview(mmap.mmap(-1, 2 * mmap.PAGESIZE)).cast("d")[:num_workers]
        proofs = memoryview(mmap.mmap(-1, mmap.PAGESIZE))[:num_workers]
        self._slots = [
            _Slot(Worker(index, num_workers, folder, self._connections, self._heartbeats, proofs, os.getpid()))
            for index in range(num_workers)
        ]
        # Of `time.monotonic`, when the heartbeats were last looked at.
        self._looked_s = time.monotonic()
        self._has_started = False
        self._is_stopping = False
        # A signal ends the wait for processes by writing here.
        self._wake_reader, self._wake_writer = os.pipe()

        self._before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(self, on_ready: Callable[[], None]) -> None:
        for slot in self._slots:
            self._start(slot)
        unready = {slot.worker.index for slot in self._slots}
        while not self._is_stopping:
            unready -= self._listen()
            if not unready and not self._has_started:
                self._has_started = True
                for slot in self._slots:
                    # Whoever takes its place has nobody to share with.
                    slot.worker = replace(slot.worker, proofs=None)
                on_ready()
            self._kill_hanging()
            self._refill()

    def _start(self, slot: _Slot) -> None:
        slot.said, says = self._context.Pipe(duplex=False)
        slot.process = self._context.Process(
            target=_run_worker, args=(self._work, slot.worker, says), name=f"worker-{slot.worker.index}"
        )
        slot.process.start()
        says.close()

    def _listen(self) -> set[int]:
        """Waits until something happens; the workers that answer from now on."""
        said = {slot.said: slot for slot in self._slots if slot.said is not None}
        ended = {slot.process.sentinel: slot for slot in self._slots if slot.process is not None}
        dues = [slot.due_s for slot in self._slots if slot.process is None]
        timeout_s = max(0.0, min(min(dues, default=math.inf) - time.monotonic(), self._hang_timeout_s / 4))
        happened = wait([self._wake_reader, *said, *ended], timeout_s)
        ready = {slot.worker.index for pipe, slot in said.items() if pipe in happened and self._hear(slot, pipe)}
        for sentinel, slot in ended.items():
            if sentinel in happened and slot.process is not None:
                self._bury(slot, slot.process)
        return ready

    def _hear(self, slot: _Slot, pipe: Connection) -> bool:
        """What a worker says: True where it answers from now on. Raises its refusal until all have answered once."""
        try:
            refusal: LooplineError | None = pipe.recv()
        except EOFError:
            # It died; its sentinel says how.
            pipe.close()
            slot.said = None
            return False
        if refusal is None:
            slot.retry_s = _FIRST_RETRY_S
            return True
        if not self._has_started:
            raise refusal
        _LOGGER.error("worker %d does not start: %s", slot.worker.index, refusal)
        return False

    def _bury(self, slot: _Slot, process: BaseProcess) -> None:
        """Empties the slot of a process that ended, and says when it is filled again."""
        process.join()
        code, number = process.exitcode or 0, process.pid
        process.close()
        slot.process = None
        self._connections[slot.worker.index] = 0
        self._heartbeats[slot.worker.index] = 0.0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        if not self._has_started:
            raise StateError(f"a worker process {how} before it answered.", next_command="loopline serve --help")
        slot.due_s = time.monotonic() + slot.retry_s
        slot.retry_s = min(2 * slot.retry_s, _LAST_RETRY_S)
        _LOGGER.warning("worker %d (process %s) %s; a new one starts.", slot.worker.index, number, how)

    def _kill_hanging(self) -> None:
        """Ends what still lives and does nothing: an engine may hang in the thread that answers."""
        before_s, self._looked_s = self._looked_s, time.monotonic()
        # Whoever was stopped itself, by Ctrl-Z or a laptop's lid, cannot blame the others.
        was_stopped = self._looked_s - before_s > self._hang_timeout_s / 2
        for slot in self._slots:
            last_s = self._heartbeats[slot.worker.index]
            if last_s and was_stopped:
                self._heartbeats[slot.worker.index] = self._looked_s
            elif slot.process is not None and last_s and self._looked_s - last_s > self._hang_timeout_s:
                _LOGGER.error("worker %d stands still for %.3g s.", slot.worker.index, self._hang_timeout_s)
                slot.process.kill()
                # Its sentinel tells of the end; until then, once is enough.
                self._heartbeats[slot.worker.index] = 0.0

    def _refill(self) -> None:
        for slot in self._slots:
            if slot.process is None and not self._is_stopping and slot.due_s <= time.monotonic():
                self._start(slot)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            os.write(self._wake_writer, b"\0")

    def end_all(self, timeout_s: float) -> None:
        self._is_stopping = True
        running = [slot.process for slot in self._slots if slot.process is not None]
        for process in running:
            process.terminate()
        deadline_s = time.monotonic() + timeout_s + _STOP_GRACE_S
        for process in running:
            process.join(max(0.0, deadline_s - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._wake_reader)
        os.close(self._wake_writer)


def _run_worker(work: Work, worker: Worker, says: Connection) -> None:
    """In the new process."""
    # The supervisor's handlers came along; until the server has its own, a signal ends the process.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        work(worker, lambda: says.send(None))
    except LooplineError as error:
        says.send(_plain(error))
        sys.exit(1)


def _plain(error: LooplineError) -> LooplineError:
    """The error as one that can be sent: kinds with arguments of their own cannot."""
    return LooplineError(error.message, next_command=error.next_command)
