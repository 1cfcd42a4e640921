"""The metrics of one server, in a registry of its own, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from loopline.core.records import ModelBundle
from loopline.predictor.answer import Answer, LabelAnswer, ValueAnswer
from loopline.serving.tasks import TaskInterface

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
STAGES = ("decode", "queue", "infer", "total")


class Telemetry:
    """Counts what one application does; two applications in one process share nothing."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, *, model: str, bundle: ModelBundle, task: TaskInterface[Any, Any]) -> None:
        self.registry = CollectorRegistry()
        info = Gauge("loopline_model_info", "The model that answers.", ["model", "bundle"], registry=self.registry)
        info.labels(model, bundle.digest).set(1)
        self.requests = Counter(
            "loopline_requests", "Requests by route, method and status.", ["route", "method", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.latency = Histogram(
            "loopline_stage_seconds", "Time of a prediction by stage: decode, queue, infer, and total.", ["stage"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.batch_size = Histogram(
            "loopline_batch_size", "Examples per batch of the engine.", buckets=_SIZES, registry=self.registry
        )
        # Values and texts are too many to be told apart by a label.
        self._predictions = Counter(
            "loopline_predictions", "Predictions, by predicted label where there are labels.",
            ["label"] if bundle.label_names else [], registry=self.registry,
        )  # fmt: skip
        self._values: Histogram | None = None
        if task.value_bounds:
            self._values = Histogram(
                "loopline_value", "Predicted values; held-out examples fall into each bucket alike.",
                buckets=task.value_bounds, registry=self.registry,
            )  # fmt: skip
        self.engine_failures = Counter(
            "loopline_engine_failures", "Batches that the engine failed on.", registry=self.registry
        )
        self.feedback = Counter(
            "loopline_feedback", "Truths and ratings that came later, by what they said of the prediction.",
            ["verdict"], registry=self.registry,
        )  # fmt: skip
        self.ready = Gauge("loopline_ready", "1 while the reference inputs are predicted.", registry=self.registry)
        self._depth = Gauge(
            "loopline_queue_depth", "Examples that are accepted and not answered yet.", registry=self.registry
        )
        self.rows_written = Counter(
            "loopline_log_rows_written", "Predictions written to the log.", registry=self.registry
        )
        self.rows_dropped = Counter(
            "loopline_log_rows_dropped", "Predictions that the log could not take.", registry=self.registry
        )
        # A series exists from the start, so that its first increase is one.
        for label in bundle.label_names:
            self._predictions.labels(label)
        for stage in STAGES:
            self.latency.labels(stage)
        for verdict in task.verdicts:
            self.feedback.labels(verdict)

    def count(self, answer: Answer) -> None:
        """One more prediction."""
        if isinstance(answer, LabelAnswer):
            self._predictions.labels(answer.label).inc()
            return
        self._predictions.inc()
        if self._values is not None and isinstance(answer, ValueAnswer):
            self._values.observe(answer.value)

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Asks `depth` whenever the metrics are read."""
        self._depth.set_function(depth)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
