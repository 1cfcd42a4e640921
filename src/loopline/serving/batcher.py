"""Dynamic batching: examples from many requests, decoded side by side and predicted together.

    event loop ── submit ──> decoder threads ──> ready ──> engine thread: what is ready, up to max_batch_size
        ^                                                       │
        └──────────────── one wake-up per batch ────────────────┘

A batch forms while the engine is busy, so a lone request never waits for company and a burst is answered in few calls.
Decoding comes before batching: one that cannot be decoded fails alone. An example goes from thread to thread
without a detour through the event loop, which costs a third of the time of a tiny model. Where a process has one core,
there are no decoder threads: the engine's decodes what it takes, for threads that take turns only lose time.

Where there is one core and answers are quick, the event loop's own thread predicts, a few examples at a turn, and looks
at the network in between: two threads on one core interrupt each other with every packet, which costs a tenth. What is
slow has a thread of its own, so that the loop is never away for long. Who is alone on the server is answered at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from loopline.core.errors import InvalidExample, LooplineError, StateError
from loopline.predictor.answer import Answer
from loopline.serving.inputs import Decoded
from loopline.serving.refusals import Refusal, not_ready, queue_full, timed_out
from loopline.serving.settings import ServeSettings

T = TypeVar("T")
# Hears what came of something, once, in the event loop's thread; raises nothing.
Then = Callable[[T | Exception], None]

# How long an engine thread that hangs may hold up the end of the process.
_JOIN_TIMEOUT_S = 5.0
# The event loop's thread predicts only where the examples of the last so many batches took so long, as a rule, and none
# longer than a machine's hiccup makes them.
_NUM_QUICK, _QUICK_MS, _HICCUP = 16, 40.0, 5
# And then for about so long at a time, or one example: to decode several and then predict them keeps caches warm, which
# saves a twentieth.
_TURN_MS, _SHORT_TURN_MS, _NUM_SHORT, _QUIET_S = 45.0, 5.0, 8, 0.5


# Runs in a decoder thread; may raise `InvalidExample` or a `Refusal`.
BoundDecode = Callable[[], Decoded]


@dataclass(frozen=True, slots=True)
class Outcome:
    """An example that was predicted, with the batch that it was predicted in."""

    decoded: Decoded
    answer: Answer
    batch_size: int
    decode_ms: float
    queue_ms: float
    infer_ms: float


@dataclass(slots=True, eq=False)
class Job:
    """An example on its way; the threads fill in their parts."""

    decode: BoundDecode
    then: Then[Outcome]
    # Of the loop's clock.
    deadline_s: float
    decoded: Decoded | None = None
    decode_ms: float = 0.0
    # Of `time.perf_counter`.
    ready_s: float = 0.0
    is_taken: bool = False
    # Nobody waits for it any more: the threads pass over it, and nobody hears of it.
    is_abandoned: bool = False


# What became of a job; None where it was abandoned.
_Result = tuple[Job, Outcome | Exception | None]


class Batcher:
    """Between `start` and `close`, the tasks of one event loop may `submit`."""

    def __init__(
        self,
        predict: Callable[[Sequence[Any]], Sequence[Answer]],
        settings: ServeSettings,
        *,
        on_batch: Callable[[int], None] = lambda _size: None,
        on_failure: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        """`on_batch` hears each batch's size, in the thread that computed it.

        `on_failure` hears what the engine raised, in the loop's thread.
        """
        self._predict = predict
        self._settings = settings
        self._on_batch = on_batch
        self._on_failure = on_failure
        self._ready: deque[Job] = deque()
        self._num_undecoded = 0
        self._is_closed = False
        # Guards the three above.
        self._changed = threading.Condition()
        # Touched by the event loop alone.
        self.num_admitted = 0
        self._settled = asyncio.Event()
        # Examples that wait for the event loop's own thread.
        self._here: deque[Job] = deque()
        # The most that have waited there since it was quiet, when it last was not, and how many turns are to be short.
        self._most_here = 0
        self._turned_s = 0.0
        self._num_short = 0
        # Everything that has not ended, and the timer of the first that will have waited too long.
        self._waiting: set[Job] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_s = 0.0
        # What an example took in each of the last batches, decoding included.
        self._each_ms: deque[float] = deque(maxlen=_NUM_QUICK)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._decoders: ThreadPoolExecutor | None = None
        if settings.num_decode_threads:
            self._decoders = ThreadPoolExecutor(settings.num_decode_threads, thread_name_prefix="decode")
        self._engine = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Starts the engine's thread; call it inside the running loop."""
        self._loop = asyncio.get_running_loop()
        self._engine.start()

    async def close(self) -> None:
        """Waits for everything that was accepted, at most as long as a request may take, and ends the threads."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.request_timeout_s):
                while self.num_admitted:
                    self._settled.clear()
                    await self._settled.wait()
        for job in list(self._waiting):
            self._end(job, timed_out(self._settings.request_timeout_s))
        if self._alarm is not None:
            self._alarm.cancel()
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._decoders is not None:
            self._decoders.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._engine.join, _JOIN_TIMEOUT_S)

    def check_room(self, num_examples: int) -> None:
        """Raises a 429 where so many more would exceed `max_queue_size`: what a server holds in memory is bounded."""
        if self.num_admitted + num_examples > self._settings.max_queue_size:
            raise queue_full(self._settings.max_queue_size)

    async def submit(self, decode: BoundDecode, *, timeout_s: float, is_alone: bool = False) -> Outcome:
        """As `enqueue`, for whoever can wait; raises what `then` would hear."""
        return await awaited(lambda then: self.enqueue(decode, then, timeout_s=timeout_s, is_alone=is_alone))

    def enqueue(self, decode: BoundDecode, then: Then[Outcome], *, timeout_s: float, is_alone: bool = False) -> Job:
        """Decodes and predicts one example; `is_alone` says that nothing else waits for the calling thread.

        Raises a 429 where there is no room. `then` hears the outcome, a 504 after `timeout_s`, a 503 where the engine
        fails, or whatever `decode` raises; perhaps before this returns.
        """
        self.check_room(1)
        loop = asyncio.get_running_loop()
        job = Job(decode, then, loop.time() + timeout_s)
        if is_alone and not self.num_admitted and self._is_quick():
            self._answer_now(job)
            return job
        self.num_admitted += 1
        self._waiting.add(job)
        if self._alarm is None or job.deadline_s < self._alarm_s:
            self._set_alarm(job.deadline_s)
        if self._decoders is not None:
            with self._changed:
                self._num_undecoded += 1
            self._decoders.submit(self._prepare, job)
        elif self._is_quick():
            self._wait_for_turn(job)
        else:
            self._put(job)
        return job

    def _set_alarm(self, when_s: float) -> None:
        """One timer for all: one of each request would cost more than its way through the queue."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_s = when_s
        self._alarm = asyncio.get_running_loop().call_at(when_s, self._end_overdue)

    def _end_overdue(self) -> None:
        self._alarm = None
        now_s = asyncio.get_running_loop().time()
        for job in [each for each in self._waiting if each.deadline_s <= now_s]:
            if job.is_taken and not job.is_abandoned:
                timeout_s = self._settings.request_timeout_s
                self._on_failure(StateError(f"the engine gave no answer within {timeout_s:.3g} s."))
            self._end(job, timed_out(self._settings.request_timeout_s))
        if self._waiting:
            self._set_alarm(min(each.deadline_s for each in self._waiting))

    def _end(self, job: Job, result: Outcome | Exception | None) -> None:
        """Says what became of a job to whoever still waits for it."""
        self._waiting.discard(job)
        if result is not None and not job.is_abandoned:
            job.is_abandoned = True
            job.then(result)

    def _is_quick(self) -> bool:
        """Whether an example may keep the event loop waiting."""
        if len(self._each_ms) < _NUM_QUICK or max(self._each_ms) > _HICCUP * _QUICK_MS:
            return False
        return self._usual_ms() <= _QUICK_MS

    def _usual_ms(self) -> float:
        """The median of what examples took."""
        return sorted(self._each_ms)[len(self._each_ms) // 2]

    def _answer_now(self, job: Job) -> None:
        """In the event loop's thread."""
        job.ready_s = time.perf_counter()
        ((_, result),) = self._results_of([job])
        self._end(job, result)

    def _wait_for_turn(self, job: Job) -> None:
        job.ready_s = time.perf_counter()
        if not self._here and job.ready_s - self._turned_s > _QUIET_S:
            self._most_here = 0
        self._here.append(job)
        if len(self._here) == 1 and self._loop is not None:
            self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """In the event loop's thread: some of what waits for it; then the loop does what else there is.

        Once more waits than before, turns are short for a while: clients are coming, and who is let in late is answered
        late.
        """
        waiting = len(self._here)
        if waiting > self._most_here:
            self._most_here, self._num_short = waiting, _NUM_SHORT
        turn_ms = _SHORT_TURN_MS if self._num_short else _TURN_MS
        self._num_short = max(0, self._num_short - 1)
        most = min(self._settings.max_batch_size, max(1, int(turn_ms / self._usual_ms())))
        self._settle(self._results_of([self._here.popleft() for _ in range(min(waiting, most))]))
        self._turned_s = time.perf_counter()
        if self._here and self._loop is not None and self._is_quick():
            self._loop.call_soon(self._take_turn)
            return
        while self._here:
            self._put(self._here.popleft())

    def _put(self, job: Job) -> None:
        with self._changed:
            job.ready_s = time.perf_counter()
            self._ready.append(job)
            self._changed.notify()

    def _prepare(self, job: Job) -> None:
        """In a decoder thread."""
        error = _decode(job)
        with self._changed:
            self._num_undecoded -= 1
            if job.decoded is None:
                # Somebody may be waiting until nothing is being decoded any more.
                self._changed.notify()
        if job.decoded is None:
            self._deliver([(job, error)])
        else:
            self._put(job)

    def _run(self) -> None:
        """In the engine's thread."""
        while self._work():
            pass

    def _work(self) -> bool:
        """One batch, False at the end; by itself, so that no example is kept until the next one comes."""
        jobs = self._take()
        if jobs:
            self._deliver(self._results_of(jobs))
        return bool(jobs)

    def _results_of(self, jobs: list[Job]) -> list[_Result]:
        """Decodes what is not decoded yet and predicts, in whichever thread."""
        started_s = time.perf_counter()
        errors = {job: _decode(job) for job in jobs if job.decoded is None}
        for job in errors:
            # It did not wait while it was being decoded.
            job.ready_s += job.decode_ms / 1000
        wanted = [job for job in jobs if job.decoded is not None and not job.is_abandoned]
        results: list[_Result] = [(job, errors.get(job)) for job in jobs if job not in wanted]
        if wanted:
            results += self._infer(wanted)
        self._each_ms.append(1000 * (time.perf_counter() - started_s) / len(jobs))
        return results

    def _take(self) -> list[Job]:
        """The next batch, oldest first; empty only at the end."""
        settings = self._settings
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._is_closed)
            if settings.max_queue_delay_ms and self._ready:
                # Nobody is waited for who is not known to come: alone on the server, the delay costs nothing.
                self._changed.wait_for(
                    lambda: len(self._ready) >= settings.max_batch_size or not self._num_undecoded or self._is_closed,
                    self._ready[0].ready_s + settings.max_queue_delay_ms / 1000 - time.perf_counter(),
                )
            jobs = [self._ready.popleft() for _ in range(min(len(self._ready), settings.max_batch_size))]
        for job in jobs:
            job.is_taken = True
        return jobs

    def _infer(self, jobs: list[Job]) -> list[tuple[Job, Outcome | Exception]]:
        started_s = time.perf_counter()
        decoded = [job.decoded for job in jobs if job.decoded is not None]
        try:
            answers = self._predict([each.sample for each in decoded])
            if len(answers) != len(jobs):
                raise StateError(f"the predictor gave {len(answers)} answers to {len(jobs)} examples.")
        except Exception as error:  # noqa: BLE001 - whatever an engine raises, the server lives and says so
            self._call(self._on_failure, error)
            if len(jobs) > 1:
                # Each alone, so that whoever is innocent is answered.
                return [result for job in jobs for result in self._infer([job])]
            return [(jobs[0], not_ready(sentence_of(error)))]
        infer_ms = 1000 * (time.perf_counter() - started_s)
        self._on_batch(len(jobs))
        return [
            (job, Outcome(each, answer, len(jobs), job.decode_ms, 1000 * (started_s - job.ready_s), infer_ms))
            for job, each, answer in zip(jobs, decoded, answers, strict=True)
        ]

    def _deliver(self, results: list[_Result]) -> None:
        self._call(self._settle, results)

    def _call(self, function: Callable[[T], None], value: T) -> None:
        """From any thread, in the event loop's."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(function, value)

    def _settle(self, results: list[_Result]) -> None:
        self.num_admitted -= len(results)
        self._settled.set()
        for job, value in results:
            self._end(job, value)


async def awaited(begin: Callable[[Then[T]], Job]) -> T:
    """What `then` hears of the job that `begin` makes; raises it where it is an error. Cancelled, it ends the job."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    job = begin(partial(_settle, future))
    try:
        return await future
    finally:
        job.is_abandoned = True
        # An error that passes here holds this frame, which must not hold the error: only the collector would end that,
        # with the body and the picture of every request that is refused until it comes.
        del future, job


def _settle(future: asyncio.Future[T], result: T | Exception) -> None:
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _decode(job: Job) -> Exception | None:
    """Fills in what a job decodes to; what is wrong with it, where it gives nothing."""
    started_s = time.perf_counter()
    error: Exception | None = None
    try:
        if not job.is_abandoned:
            job.decoded = job.decode()
    except (Refusal, InvalidExample) as expected:
        # An answer, no defect: nobody asks for its traceback, whose frames hold the body and the picture.
        expected.__context__ = expected.__cause__ = None
        error = expected.with_traceback(None)
    except Exception as caught:  # noqa: BLE001 - carried to the request that waits for it
        error = caught
    job.decode_ms = 1000 * (time.perf_counter() - started_s)
    return error


def sentence_of(error: Exception) -> str:
    """An exception in a caller's words: ours as they are, others by their kind alone."""
    return error.message if isinstance(error, LooplineError) else f"the engine raised {type(error).__name__}."
