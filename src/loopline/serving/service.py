"""What the routes share: one request's example goes in, its answer comes out and into the log.

batcher (decode in threads, predict in batches) → answer, metrics → log (writer thread)
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from loopline.core.errors import ConfigError, UnknownName
from loopline.core.records import Record
from loopline.prediction_log import LogRow, PredictionLog, float32_bytes, microseconds
from loopline.predictor.answer import PredictorLike
from loopline.serving.batcher import Batcher, Outcome
from loopline.serving.inputs import Decode
from loopline.serving.log_writer import LogWriter
from loopline.serving.readiness import Readiness
from loopline.serving.refusals import no_such_answer, not_ready
from loopline.serving.schemas import FeedbackBody, PredictAnswer, Timings
from loopline.serving.settings import ServeSettings
from loopline.serving.tasks import TASKS
from loopline.serving.telemetry import STAGES, Telemetry
from loopline.serving.workers import ALONE, Worker


@dataclass(frozen=True)
class Given:
    """What one prediction was asked with; `decode` runs in a thread and may raise `InvalidExample` or a `Refusal`."""

    request_id: str
    # Of `time.perf_counter`, when the request came.
    started_s: float
    decode: Decode


class Service:
    """An open predictor with its queue, threads, metrics and log; between `start` and `close` it answers."""

    def __init__(
        self,
        predictor: PredictorLike,
        settings: ServeSettings,
        *,
        model: str,
        log: PredictionLog,
        worker: Worker = ALONE,
    ) -> None:
        """Raises `ConfigError` where inputs shall be kept that may not leave."""
        bundle = predictor.bundle
        if settings.log_inputs and bundle.reference.is_simulated:
            raise ConfigError(
                f"log_inputs given; bundle '{bundle.name}' was made of confidential data, whose like is not kept.",
                next_command=f"loopline serve {model} --no-log-inputs",
            )
        self.predictor = predictor
        self.settings = settings
        self.model = model
        self.log = log
        self.worker = worker
        self.task = TASKS[bundle.task](predictor, num_probabilities=settings.num_probabilities)
        self.telemetry = Telemetry(model=model, bundle=bundle, task=self.task)

    async def start(self) -> None:
        """Starts the threads and predicts the reference inputs; call it inside the running loop."""
        settings, telemetry = self.settings, self.telemetry
        self.readiness = Readiness(
            self.predictor.verify, interval_s=settings.verify_interval_s, on_change=telemetry.ready.set
        )
        self.batcher = Batcher(
            self.predictor.predict, settings, on_batch=telemetry.batch_size.observe, on_failure=self._engine_failed
        )
        self.writer = LogWriter(
            self.log,
            max_rows=settings.log_buffer_rows,
            on_written=telemetry.rows_written.inc,
            on_dropped=telemetry.rows_dropped.inc,
        )
        telemetry.watch_queue(lambda: self.batcher.num_admitted)
        self.batcher.start()
        await self.readiness.start()

    async def close(self) -> None:
        """Answers what was accepted, then writes the log to its end."""
        await self.batcher.close()
        await self.readiness.close()
        await asyncio.to_thread(self.writer.close)

    def check(self, num_examples: int) -> None:
        """Raises a 503 where the model is not ready and a 429 where so many examples find no room."""
        if not self.readiness.is_ready:
            raise not_ready(self.readiness.reason)
        self.batcher.check_room(num_examples)

    async def answer(self, given: Given) -> PredictAnswer:
        """Decodes, predicts and logs one example.

        Raises `InvalidExample` for one that is none, a 429 where there is no room, a 504 where it takes too long,
        a 503 where predicting fails.
        """
        rest_s = given.started_s + self.settings.request_timeout_s - time.perf_counter()
        outcome = await self.batcher.submit(partial(given.decode, self.predictor), timeout_s=max(rest_s, 0.0))
        timings = Timings(
            decode_ms=outcome.decode_ms,
            queue_ms=outcome.queue_ms,
            infer_ms=outcome.infer_ms,
            total_ms=1000 * (time.perf_counter() - given.started_s),
        )
        self._record(given.request_id, outcome, timings)
        return self._answer(given.request_id, outcome, timings)

    def keep(self, feedback: FeedbackBody) -> Record:
        """Keeps what became known of an answer; blocks on the disk. Raises a 404 or a 422."""
        truth = self.task.truth(feedback)
        # The answer may still be on its way to the log.
        self.writer.flush()
        try:
            row = self.log.label(feedback.request_id, truth.label, rating=truth.rating, model=self.model)
        except UnknownName:
            raise no_such_answer(feedback.request_id) from None
        answer, verdict = self.task.kept(row, feedback)
        self.telemetry.feedback.labels(verdict).inc()
        return answer

    def _answer(self, request_id: str, outcome: Outcome, timings: Timings) -> PredictAnswer:
        return self.task.prediction_kind(
            request_id=request_id,
            model=self.model,
            bundle_digest=self.predictor.bundle.digest,
            batch_size=outcome.batch_size,
            timings_ms=timings,
            **self.task.fields(outcome.answer),
        )

    def _record(self, request_id: str, outcome: Outcome, timings: Timings) -> None:
        answer, decoded, bundle = outcome.answer, outcome.decoded, self.predictor.bundle
        self.telemetry.count(answer)
        for stage in STAGES:
            self.telemetry.latency.labels(stage).observe(getattr(timings, f"{stage}_ms") / 1000)
        self.writer.put(
            LogRow(
                request_id=request_id,
                created_us=microseconds(datetime.now(UTC)),
                model=self.model,
                bundle_digest=bundle.digest,
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
                output_names=self.task.output_names,
                input_bytes=decoded.raw if self.settings.log_inputs else None,
            )
        )

    def _engine_failed(self, error: Exception) -> None:
        self.telemetry.engine_failures.inc()
        self.readiness.broke(error)
