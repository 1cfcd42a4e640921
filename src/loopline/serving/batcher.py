"""Dynamic batching: whatever waits when the engine becomes free is predicted together.

An idle engine never waits for company unless `max_queue_delay_ms` says so: under load batches grow by themselves, for
the next one gathers while the present one is computed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import LooplineError
from loopline.predictor.answer import Answer
from loopline.serving.refusals import not_ready, queue_full
from loopline.serving.settings import ServeSettings

# H height, W width, C channels.
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Outcome:
    """An answer with the batch that it was computed in."""

    answer: Answer
    batch_size: int
    queue_ms: float
    infer_ms: float


@dataclass(frozen=True, eq=False)
class _Job:
    x_HWC: Pixels
    arrived_s: float
    outcome: asyncio.Future[Outcome]


class Batcher:
    """Queues pictures and predicts them in batches, one batch at a time in a thread of its own; lives in one loop."""

    def __init__(
        self,
        predict: Callable[[Sequence[Pixels]], list[Answer]],
        settings: ServeSettings,
        *,
        on_batch: Callable[[int], None] = lambda _size: None,
        on_failure: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        """`on_batch` hears each batch's size, `on_failure` each exception of the engine; both in the loop's thread."""
        self._predict = predict
        self._settings = settings
        self._on_batch = on_batch
        self._on_failure = on_failure
        self._waiting: deque[_Job] = deque()
        self._changed = asyncio.Event()
        self._closing = False
        self._engine = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._worker: asyncio.Task[None] | None = None
        self.num_admitted = 0

    def start(self) -> None:
        """Begins to predict; call it inside the running loop."""
        self._worker = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Answers everything that was accepted, then ends; later pictures are refused with 503."""
        self._closing = True
        self._changed.set()
        if self._worker is not None:
            await self._worker
        self._engine.shutdown()

    @contextmanager
    def admit(self, num_examples: int) -> Iterator[None]:
        """Takes places for a request's pictures from before they are decoded until they are answered.

        Raises a 429 where fewer are free: what a server holds in memory is bounded.
        """
        if self._closing:
            raise not_ready("it is shutting down.")
        if self.num_admitted + num_examples > self._settings.max_queue_size:
            raise queue_full(self._settings.max_queue_size)
        self.num_admitted += num_examples
        try:
            yield
        finally:
            self.num_admitted -= num_examples

    async def predict(self, x_HWC: Pixels) -> Outcome:
        """One decoded picture's outcome; raises a 503 where the engine fails."""
        if self._closing:
            raise not_ready("it is shutting down.")
        job = _Job(x_HWC, time.perf_counter(), asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._changed.set()
        return await job.outcome

    async def _work(self) -> None:
        while await self._some_wait():
            await self._wait_for_company()
            await self._run(self._take())

    async def _some_wait(self) -> bool:
        """Waits for a picture; False when the batcher closes and none is left."""
        while not self._waiting and not self._closing:
            self._changed.clear()
            await self._changed.wait()
        return bool(self._waiting)

    async def _wait_for_company(self) -> None:
        deadline_s = self._waiting[0].arrived_s + self._settings.max_queue_delay_ms / 1000
        while len(self._waiting) < self._settings.max_batch_size and not self._closing:
            rest_s = deadline_s - time.perf_counter()
            if rest_s <= 0:
                return
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), rest_s)
            except TimeoutError:
                return

    def _take(self) -> list[_Job]:
        jobs: list[_Job] = []
        while self._waiting and len(jobs) < self._settings.max_batch_size:
            job = self._waiting.popleft()
            # Done means cancelled: its request timed out or its caller went away.
            if not job.outcome.done():
                jobs.append(job)
        return jobs

    async def _run(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        started_s = time.perf_counter()
        try:
            answers = await asyncio.get_running_loop().run_in_executor(
                self._engine, self._predict, [job.x_HWC for job in jobs]
            )
        except Exception as error:  # noqa: BLE001 - whatever an engine raises, the server lives and says so
            self._on_failure(error)
            await self._fail(jobs, error)
            return
        infer_ms = 1000 * (time.perf_counter() - started_s)
        self._on_batch(len(jobs))
        for job, answer in zip(jobs, answers, strict=True):
            if not job.outcome.done():
                queue_ms = 1000 * (started_s - job.arrived_s)
                job.outcome.set_result(Outcome(answer, len(jobs), queue_ms, infer_ms))

    async def _fail(self, jobs: list[_Job], error: Exception) -> None:
        """Tries the members of a failed batch alone, so that one of them does not fail the others."""
        if len(jobs) > 1:
            for job in jobs:
                await self._run([job])
        elif not jobs[0].outcome.done():
            jobs[0].outcome.set_exception(not_ready(sentence_of(error)))


def sentence_of(error: Exception) -> str:
    """An exception in a caller's words: ours as they are, others by their kind alone."""
    return error.message if isinstance(error, LooplineError) else f"the engine raised {type(error).__name__}."
