"""What the routes share: one request's example goes in, its answer comes out and into the log.

lane (decode in threads, predict in batches) → answer, metrics → log (writer thread)
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar

from loopline.core.errors import ConfigError, StateError, UnknownName
from loopline.core.records import Prediction, Record
from loopline.prediction_log import LogRow, PredictionLog, float32_bytes, microseconds
from loopline.predictor.answer import PredictorLike
from loopline.serving.batcher import Job, Outcome, Then, awaited
from loopline.serving.inputs import Decode
from loopline.serving.lane import Bundles, Lane, LaneEvents, OpenBundle, check_same_question
from loopline.serving.log_writer import COMMIT_INTERVAL_S, LogWriter
from loopline.serving.readiness import Readiness
from loopline.serving.reading import PendingBytes
from loopline.serving.refusals import log_away, no_such_answer, not_ready
from loopline.serving.schemas import FeedbackBody, HealthAnswer, PredictAnswer, Timings
from loopline.serving.settings import ServeSettings
from loopline.serving.tasks import TaskInterface, Truth
from loopline.serving.telemetry import STAGES, Telemetry
from loopline.serving.traffic import Shadow, Traffic, parse_split
from loopline.serving.watch import AliasWatch, is_alias
from loopline.serving.workers import ALONE, Worker

T = TypeVar("T")


@dataclass(frozen=True)
class Given:
    """What one prediction was asked with; `decode` runs in any thread and may raise `InvalidExample` or a `Refusal`."""

    request_id: str
    # Of `time.perf_counter`, when the request came.
    started_s: float
    decode: Decode
    # Whether it is all that its request asks.
    is_whole: bool = False


class _Asked(NamedTuple):
    """What a bundle said, and what it took."""

    bundle: OpenBundle
    outcome: Outcome
    timings: Timings


class Service:
    """The lanes of a server with their metrics and log; between `start` and `close` it answers."""

    def __init__(
        self,
        predictor: PredictorLike,
        settings: ServeSettings,
        *,
        model: str,
        log: PredictionLog,
        worker: Worker = ALONE,
        bundles: Bundles | None = None,
    ) -> None:
        """Opens the challengers; without `bundles` there can be none, and the bundle stays as it is.

        Raises `ConfigError` where inputs shall be kept that may not leave, or a challenger answers another question.
        """
        self.settings = settings
        self.model = model
        self.log = log
        self.worker = worker
        self.pending = PendingBytes(settings.max_pending_bytes)
        # How many requests this process works on; whoever speaks HTTP knows and says it.
        self.num_requests: Callable[[], int] = lambda: sys.maxsize
        # Whether the answer that is about to be sent is the last one of its connection; asked once for each.
        self.is_last: Callable[[], bool] = lambda: False
        self._bundles = bundles
        self._lanes: dict[str, Lane] = {}
        self.champion = self._add_lane(model, predictor)
        self.telemetry = Telemetry(bundle=predictor.bundle, task=self.task, worker=worker)
        self._traffic = Traffic(self.champion)
        if settings.split is not None:
            split = parse_split(settings.split)
            self._traffic = Traffic(self.champion, self._challenger(split.reference), split.share)
        self._shadow: Shadow | None = None
        if settings.shadow is not None:
            challenger = self._challenger(settings.shadow)
            self._shadow = Shadow(challenger, self.telemetry, rate=settings.shadow_rate)
        for lane in self._lanes.values():
            self.telemetry.answers_with(lane.model, lane.current.bundle.digest)

    @property
    def predictor(self) -> PredictorLike:
        """What answers now."""
        return self.champion.current.predictor

    @property
    def task(self) -> TaskInterface[Any, Any]:
        """How it answers."""
        return self.champion.current.task

    @property
    def readiness(self) -> Readiness:
        """Whether it may."""
        return self.champion.current.readiness

    async def start(self) -> None:
        """Starts the threads and predicts the reference inputs; call it inside the running loop."""
        settings, telemetry = self.settings, self.telemetry
        self.writer = LogWriter(
            self.log,
            max_rows=settings.log_buffer_rows,
            on_written=telemetry.rows_written.inc,
            on_dropped=telemetry.rows_dropped.inc,
        )
        telemetry.watch_log(lambda: self.log.num_waiting)
        telemetry.watch_queue(self._num_admitted)
        for lane in self._lanes.values():
            await lane.start()
        self._watches = [
            AliasWatch(lane, self._bundles, telemetry, interval_s=settings.watch_interval_s)
            for lane in self._lanes.values()
            if self._bundles is not None and settings.watch_interval_s and is_alias(lane.model)
        ]
        for watch in self._watches:
            # At once, too: a process that was started again may be the only one that has not seen a promotion.
            await watch.look()
            watch.start()

    async def close(self) -> None:
        """Answers what was accepted, then writes the log to its end."""
        for watch in self._watches:
            await watch.close()
        if self._shadow is not None:
            await self._shadow.close()
        for lane in self._lanes.values():
            await lane.close()
        await asyncio.to_thread(self.writer.close)

    def check(self, num_examples: int) -> None:
        """Raises a 503 where the model is not ready and a 429 where so many examples find no room."""
        current = self.champion.current
        if not current.readiness.is_ready:
            raise not_ready(current.readiness.reason)
        current.batcher.check_room(num_examples)

    def health(self) -> HealthAnswer:
        """Says that it is ready; raises a 503 with the reason where it is not."""
        if not self.readiness.is_ready:
            raise not_ready(self.readiness.reason)
        return HealthAnswer(status="ready", note=self.champion.refusal)

    async def answer(self, given: Given) -> PredictAnswer:
        """As `begin`, for whoever can wait; raises what `then` would hear."""
        return await awaited(partial(self.begin, given))

    def begin(self, given: Given, then: Then[PredictAnswer]) -> Job:
        """Decodes, predicts and logs one example; raises a 429 where there is no room.

        `then` hears the answer, an `InvalidExample` for one that is none, a 504 where it takes too long, a 503 where
        predicting fails.
        """
        lane = self._traffic.lane_of(given.request_id)
        return self._ask(given, lane, partial(self._answer, given, lane), then)

    def _answer(self, given: Given, lane: Lane, asked: _Asked) -> PredictAnswer:
        bundle, outcome, timings = asked
        self._count(outcome, timings)
        if self._shadow is not None and self._shadow.lane is not lane:
            # From now on its time counts: its answer is late by as much as the other one took.
            again = Given(given.request_id, time.perf_counter(), given.decode)
            self._shadow.show(given.request_id, partial(self._watch, again))
        return bundle.task.prediction_kind(
            request_id=given.request_id,
            model=lane.model,
            bundle_digest=bundle.bundle.digest,
            batch_size=outcome.batch_size,
            timings_ms=timings,
            **bundle.task.fields(outcome.answer),
        )

    async def _watch(self, given: Given, lane: Lane) -> _Asked:
        """What a challenger says that nobody waits for."""
        return await awaited(partial(self._ask, given, lane, lambda asked: asked))

    def keep(self, feedback: FeedbackBody) -> Record:
        """Keeps what became known of an answer; blocks on the disk. Raises a 404, a 422, or a 503 without the log."""
        task = self.task
        truth = task.truth(feedback)
        # The answer may still be on its way to the log.
        self.writer.flush()
        row = self._label(feedback.request_id, truth)
        if row is None and self.worker.num_workers > 1:
            # Or in another process, which commits what it has.
            time.sleep(2 * COMMIT_INTERVAL_S)
            row = self._label(feedback.request_id, truth)
        if row is None:
            raise no_such_answer(feedback.request_id)
        answer, verdict = task.kept(row, feedback)
        self.telemetry.feedback.labels(verdict).inc()
        return answer

    def _add_lane(self, model: str, predictor: PredictorLike) -> Lane:
        # A challenger that is not ready leaves the server as ready as it was.
        on_ready = self._challenger_turned if self._lanes else self._champion_turned
        events = LaneEvents(on_batch=self._batch_ran, on_failure=self._engine_failed, on_ready=on_ready)
        lane = self._lanes[model] = Lane(model, predictor, self.settings, events)
        return lane

    def _challenger(self, reference: str) -> Lane:
        """The lane of a challenger, opened where it is not yet."""
        if reference == self.model or self._bundles is None:
            raise ConfigError(
                f"challenger '{reference}' of '{self.model}' given; expected another model of a registry.",
                next_command="loopline models",
            )
        if reference not in self._lanes:
            predictor = self._bundles.open(self._bundles.find(reference))
            check_same_question(self.predictor.bundle, predictor.bundle, reference)
            self._add_lane(reference, predictor)
        return self._lanes[reference]

    def _ask(self, given: Given, lane: Lane, finish: Callable[[_Asked], T], then: Then[T]) -> Job:
        """One example through one lane and into the log; `then` hears what `finish` makes of it."""
        bundle = lane.current

        def ended(outcome: Outcome | Exception) -> None:
            result: T | Exception
            try:
                result = outcome if isinstance(outcome, Exception) else finish(self._kept(given, lane, bundle, outcome))
            except Exception as error:  # noqa: BLE001 - a defect, carried to whoever asked
                result = error
            then(result)

        rest_s = given.started_s + self.settings.request_timeout_s - time.perf_counter()
        is_alone = given.is_whole and self.num_requests() == 1
        decode = partial(given.decode, bundle.predictor)
        return bundle.batcher.enqueue(decode, ended, timeout_s=max(rest_s, 0.0), is_alone=is_alone)

    def _kept(self, given: Given, lane: Lane, bundle: OpenBundle, outcome: Outcome) -> _Asked:
        """An outcome with its times, on its way into the log."""
        timings = Timings(
            decode_ms=outcome.decode_ms,
            queue_ms=outcome.queue_ms,
            infer_ms=outcome.infer_ms,
            total_ms=1000 * (time.perf_counter() - given.started_s),
        )
        self.writer.put(self._row(given.request_id, lane.model, bundle, outcome, timings))
        return _Asked(bundle, outcome, timings)

    def _batch_ran(self, size: int) -> None:
        self.telemetry.batch_size.observe(size)

    def _engine_failed(self) -> None:
        self.telemetry.engine_failures.inc()

    def _champion_turned(self, is_ready: bool) -> None:
        self.telemetry.ready.set(is_ready)

    def _challenger_turned(self, is_ready: bool) -> None:
        self.telemetry.challenger_ready.set(is_ready)

    def _num_admitted(self) -> int:
        return sum(lane.num_admitted for lane in self._lanes.values())

    def _count(self, outcome: Outcome, timings: Timings) -> None:
        self.telemetry.count(outcome.answer)
        for stage in STAGES:
            self.telemetry.stages[stage].observe(getattr(timings, f"{stage}_ms") / 1000)

    def _row(self, request_id: str, model: str, bundle: OpenBundle, outcome: Outcome, timings: Timings) -> LogRow:
        answer, decoded = outcome.answer, outcome.decoded
        return LogRow(
            request_id=request_id,
            created_us=microseconds(datetime.now(UTC)),
            model=model,
            bundle_digest=bundle.bundle.digest,
            input_digest=decoded.digest,
            embedding=float32_bytes(answer.embedding),
            outputs=float32_bytes(answer.outputs),
            predicted=answer.predicted,
            status="ok",
            batch_size=outcome.batch_size,
            decode_ms=timings.decode_ms,
            queue_ms=timings.queue_ms,
            infer_ms=timings.infer_ms,
            total_ms=timings.total_ms,
            output_names=bundle.task.output_names,
            input_bytes=decoded.raw if self.settings.log_inputs else None,
        )

    def _label(self, request_id: str, truth: Truth) -> Prediction | None:
        """Keeps the truth with what every lane said to the request; the champion's row, or else that of a split."""
        found = None
        # The champion last: its row came into the log no later than a shadow's, so that a look which finds the shadow's
        # finds it, too, though another process may be writing both at this moment.
        for model in reversed(self._lanes):
            try:
                found = self.log.label(request_id, truth.label, rating=truth.rating, model=model)
            except UnknownName:
                continue
            except StateError as error:
                raise log_away(error.message) from None
        return found
