"""What the routes share: one request's picture goes in, its answer comes out and into the log.

decode (thread pool) → queue → engine (one thread, in batches) → log (writer thread)
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

from loopline.core.records import Prediction
from loopline.prediction_log import LogRow, PredictionLog, float32_bytes, microseconds
from loopline.predictor.answer import PredictorLike
from loopline.serving.batcher import Batcher, Outcome
from loopline.serving.log_writer import LogWriter
from loopline.serving.readiness import Readiness
from loopline.serving.reading import Decode, Decoded
from loopline.serving.refusals import not_ready, timed_out
from loopline.serving.schemas import PredictAnswer, Timings
from loopline.serving.settings import ServeSettings
from loopline.serving.telemetry import STAGES, Telemetry


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
        self, predictor: PredictorLike, settings: ServeSettings, *, model: str, log: PredictionLog, telemetry: Telemetry
    ) -> None:
        self.predictor = predictor
        self.settings = settings
        self.model = model
        self.log = log
        self.telemetry = telemetry

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
        self._decoders = ThreadPoolExecutor(
            settings.num_decode_threads or os.cpu_count() or 1, thread_name_prefix="decode"
        )
        telemetry.watch_queue(lambda: self.batcher.num_admitted)
        self.batcher.start()
        await self.readiness.start()

    async def close(self) -> None:
        """Answers what was accepted, then writes the log to its end."""
        await self.batcher.close()
        await self.readiness.close()
        self._decoders.shutdown()
        await asyncio.to_thread(self.writer.close)

    def admit(self, num_examples: int) -> AbstractContextManager[None]:
        """Places for a request's pictures; raises a 503 where the model is not ready and a 429 where all are taken."""
        if not self.readiness.is_ready:
            raise not_ready(self.readiness.reason)
        return self.batcher.admit(num_examples)

    async def answer(self, given: Given) -> PredictAnswer:
        """Decodes, predicts and logs one picture, which must be admitted.

        Raises `InvalidExample` for one that is no picture, a 504 where it takes too long, a 503 where predicting fails.
        """
        rest_s = given.started_s + self.settings.request_timeout_s - time.perf_counter()
        try:
            async with asyncio.timeout(max(rest_s, 0)):
                decode_started_s = time.perf_counter()
                decoded = await asyncio.get_running_loop().run_in_executor(self._decoders, given.decode)
                decode_ms = 1000 * (time.perf_counter() - decode_started_s)
                outcome = await self.batcher.predict(decoded.x_HWC)
        except TimeoutError:
            raise timed_out(self.settings.request_timeout_s) from None
        timings = Timings(
            decode_ms=decode_ms,
            queue_ms=outcome.queue_ms,
            infer_ms=outcome.infer_ms,
            total_ms=1000 * (time.perf_counter() - given.started_s),
        )
        self._record(given.request_id, decoded, outcome, timings)
        return self._answer(given.request_id, outcome, timings)

    def label(self, request_id: str, label: str) -> Prediction:
        """Keeps the true label of an answer; blocks on the disk. Raises `UnknownName` for an unknown request id."""
        # The answer may still be on its way to the log.
        self.writer.flush()
        return self.log.label(request_id, label)

    def _answer(self, request_id: str, outcome: Outcome, timings: Timings) -> PredictAnswer:
        label_names = self.predictor.bundle.label_names
        num_listed = self.settings.num_probabilities or len(label_names)
        return PredictAnswer(
            request_id=request_id,
            model=self.model,
            bundle_digest=self.predictor.bundle.digest,
            label=outcome.answer.label,
            confidence=outcome.answer.value,
            probabilities=dict(outcome.answer.top(num_listed, label_names)),
            batch_size=outcome.batch_size,
            timings_ms=timings,
        )

    def _record(self, request_id: str, decoded: Decoded, outcome: Outcome, timings: Timings) -> None:
        answer, bundle = outcome.answer, self.predictor.bundle
        self.telemetry.predictions.labels(answer.label).inc()
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
                outputs=float32_bytes(answer.probabilities),
                predicted=answer.label,
                status="ok",
                batch_size=outcome.batch_size,
                decode_ms=timings.decode_ms,
                queue_ms=timings.queue_ms,
                infer_ms=timings.infer_ms,
                total_ms=timings.total_ms,
                output_names=bundle.label_names,
                input_bytes=decoded.raw if self.settings.log_inputs else None,
            )
        )

    def _engine_failed(self, error: Exception) -> None:
        self.telemetry.engine_failures.inc()
        self.readiness.broke(error)
