"""The metrics of one server, in a registry of its own, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
STAGES = ("decode", "queue", "infer", "total")


class Telemetry:
    """Counts what one application does; two applications in one process share nothing."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, *, model: str, bundle_digest: str, label_names: Sequence[str]) -> None:
        self.registry = CollectorRegistry()
        info = Gauge("loopline_model_info", "The model that answers.", ["model", "bundle"], registry=self.registry)
        info.labels(model, bundle_digest).set(1)
        self.requests = Counter(
            "loopline_requests", "Requests by route, method and status.", ["route", "method", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.latency = Histogram(
            "loopline_stage_seconds", "Time of a prediction by stage: decode, queue, infer, and total.", ["stage"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.batch_size = Histogram(
            "loopline_batch_size", "Pictures per batch of the engine.", buckets=_SIZES, registry=self.registry
        )
        self.predictions = Counter(
            "loopline_predictions", "Predictions by predicted label.", ["label"], registry=self.registry
        )
        self.engine_failures = Counter(
            "loopline_engine_failures", "Batches that the engine failed on.", registry=self.registry
        )
        self.feedback = Counter(
            "loopline_feedback", "True labels that came later, by whether the prediction was right.", ["correct"],
            registry=self.registry,
        )  # fmt: skip
        self.ready = Gauge("loopline_ready", "1 while the reference inputs are predicted.", registry=self.registry)
        self._depth = Gauge(
            "loopline_queue_depth", "Pictures that are accepted and not answered yet.", registry=self.registry
        )
        self.rows_written = Counter(
            "loopline_log_rows_written", "Predictions written to the log.", registry=self.registry
        )
        self.rows_dropped = Counter(
            "loopline_log_rows_dropped", "Predictions that the log could not take.", registry=self.registry
        )
        # A series exists from the start, so that its first increase is one.
        for label in label_names:
            self.predictions.labels(label)
        for stage in STAGES:
            self.latency.labels(stage)
        for correct in ("true", "false"):
            self.feedback.labels(correct)

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Asks `depth` whenever the metrics are read."""
        self._depth.set_function(depth)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
