"""One function over many chunks in other processes, without `fork` and without importing the caller's `__main__`.

Forking is unsafe once a library has started threads, and `multiprocessing`'s other methods run a user's script again
unless it is guarded. A worker here is a fresh interpreter that imports the named function and nothing else; chunks and
results cross as pickles between our own processes.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from loopline.core.errors import StateError
from loopline.core.tables import load

_START = "import sys; from loopline.snapshots.workers import work; work(sys.argv[1])"


def map_chunks(function: str, chunks: Iterable[Any], *, num_workers: int) -> Iterator[Any]:
    """Calls `package.module:function` with every chunk and yields the results in the chunks' order.

    With `num_workers` 0 in this process. The function should return what it has to say, also about a chunk that it
    refuses: an exception in a worker is a defect, ends it with a traceback, and raises `StateError` here.
    """
    if num_workers == 0:
        call = load(function)
        yield from (call(chunk) for chunk in chunks)
        return
    pool = _Pool(function, num_workers)
    try:
        waiting: deque[Future[Any]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(chunk))
            # Two chunks ahead of each worker: nobody waits, and memory holds few results.
            if len(waiting) > 3 * num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BaseException:
        pool.kill()
        raise
    pool.close()


def work(function: str) -> None:
    """A worker's life: reads chunks from standard input and answers on standard output until the input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Whatever else prints must not end up between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    call = load(function)
    try:
        while True:
            try:
                chunk = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent process
            except EOFError:
                return
            pickle.dump(call(chunk), answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
    except KeyboardInterrupt:
        # Ctrl-C reaches the whole process group; the parent says so once.
        return


class _Pool:
    """A thread per worker process, each feeding its own."""

    def __init__(self, function: str, num_workers: int) -> None:
        self._function = function
        self._own = threading.local()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads = ThreadPoolExecutor(num_workers, initializer=self._start)

    def submit(self, chunk: Any) -> Future[Any]:
        return self._threads.submit(self._ask, chunk)

    def close(self) -> None:
        """Lets the workers end by themselves, now that every answer is in."""
        self._threads.shutdown()
        for process in self._processes:
            # Leaving the block closes the pipes, which a worker takes as its end, and waits for it. To one that is dead
            # already the rest of a chunk cannot be sent.
            with suppress(BrokenPipeError), process:
                pass

    def kill(self) -> None:
        """Ends the workers at once; threads that wait for an answer see the pipe break."""
        for process in self._processes:
            process.terminate()
        self._threads.shutdown(cancel_futures=True)
        self.close()

    def _start(self) -> None:
        # A process per core, so one thread per process.
        path = os.pathsep.join(folder for folder in sys.path if folder)
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(  # noqa: S603 - this interpreter and our own words
            [sys.executable, "-c", _START, self._function],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._own.process = process
        self._processes.append(process)

    def _ask(self, chunk: Any) -> Any:
        process: subprocess.Popen[bytes] = self._own.process
        # Popen was given two pipes, so neither is None.
        if process.stdin is None or process.stdout is None:
            raise AssertionError
        try:
            pickle.dump(chunk, process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
            return pickle.load(process.stdout)  # noqa: S301 - from our own child process
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            code = process.wait()
            why = f"by signal {-code} (out of memory?)" if code < 0 else f"with exit code {code}"
            raise StateError(f"a worker process for {self._function} ended {why}.") from None
