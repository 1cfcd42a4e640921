"""The metrics of one server, of all its processes together, as Prometheus reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from loopline.core.records import ModelBundle
from loopline.predictor.answer import Answer, LabelAnswer, ValueAnswer
from loopline.serving.tasks import TaskInterface
from loopline.serving.workers import ALONE, Worker

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
STAGES = ("decode", "queue", "infer", "total")
SWITCH_OUTCOMES = ("switched", "refused")
SHADOW_OUTCOMES = ("answered", "dropped", "failed")


class Telemetry:
    """Counts what one application does; two applications share nothing unless they are workers of one server."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, *, bundle: ModelBundle, task: TaskInterface[Any, Any], worker: Worker = ALONE) -> None:
        """Of a worker: adds up with the other workers', and goes on where one that was killed had been."""
        self.registry = CollectorRegistry()
        self._shared_folder = None if worker.folder is None else _share(worker.folder, worker.index)
        # Where there are workers, what each says is added up.
        self._info = self._gauge("loopline_model_info", "Processes that answer with a bundle.", ["model", "bundle"])
        self.requests = self._counter(
            "loopline_requests", "Requests by route, method and status.", ["route", "method", "status"]
        )
        self.latency = Histogram(
            "loopline_stage_seconds", "Time of a prediction by stage: decode, queue, infer, and total.", ["stage"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.batch_size = Histogram(
            "loopline_batch_size", "Examples per batch of the engine.", buckets=_SIZES, registry=self.registry
        )
        # Values and texts are too many to be told apart by a label.
        self._predictions = self._counter(
            "loopline_predictions",
            "Predictions, by predicted label where there are labels.",
            ["label"] if bundle.label_names else [],
        )
        self._values: Histogram | None = None
        if task.value_bounds:
            self._values = Histogram(
                "loopline_value", "Predicted values; held-out examples fall into each bucket alike.",
                buckets=task.value_bounds, registry=self.registry,
            )  # fmt: skip
        self.engine_failures = self._counter("loopline_engine_failures", "Batches that the engine failed on.")
        self.feedback = self._counter(
            "loopline_feedback", "Truths and ratings that came later, by what they said of the prediction.", ["verdict"]
        )
        self.ready = self._gauge("loopline_ready", "1 while the reference inputs are predicted.", mode="min")
        self.challenger_ready = self._gauge(
            "loopline_challenger_ready", "1 while the challengers predict theirs; 0 where there is none.", mode="min"
        )
        self._queue_depth = self._gauge("loopline_queue_depth", "Examples that are accepted and not answered yet.")
        self.rows_written = self._counter("loopline_log_rows_written", "Predictions written to the log.")
        self.rows_dropped = self._counter("loopline_log_rows_dropped", "Predictions that the log could not take.")
        # All workers share the file in which they wait.
        self._rows_waiting = self._gauge(
            "loopline_log_rows_waiting", "Predictions that wait here for the log's database.", mode="mostrecent"
        )
        self.switches = self._counter(
            "loopline_bundle_switches", "Bundles that an alias came to point to, by what became of them.", ["outcome"]
        )
        self.shadowed = self._counter(
            "loopline_shadowed", "Requests that a challenger saw, too, by what became of them.", ["outcome"]
        )
        self._num_waiting: Callable[[], int] | None = None
        self._num_admitted: Callable[[], int] = lambda: 0
        # What a killed worker had in its queue died with it.
        self._queue_depth.set(0)
        self._begin_series(bundle, task)

    def _begin_series(self, bundle: ModelBundle, task: TaskInterface[Any, Any]) -> None:
        """A series exists from the start, so that its first increase is one."""
        for label in bundle.label_names:
            self._predictions.labels(label)
        # Looked up once: every request tells all of them.
        self.stages = {stage: self.latency.labels(stage) for stage in STAGES}
        for verdict in task.verdicts:
            self.feedback.labels(verdict)
        for outcome in SWITCH_OUTCOMES:
            self.switches.labels(outcome)
        for outcome in SHADOW_OUTCOMES:
            self.shadowed.labels(outcome)

    def count(self, answer: Answer) -> None:
        """One more prediction."""
        if isinstance(answer, LabelAnswer):
            self._predictions.labels(answer.label).inc()
            return
        self._predictions.inc()
        if self._values is not None and isinstance(answer, ValueAnswer):
            self._values.observe(answer.value)

    def answers_with(self, model: str, digest: str, *, instead_of: str | None = None) -> None:
        """This process answers for `model` with a bundle from now on, and no more with the one that it replaces."""
        if instead_of is not None:
            self._info.labels(model, instead_of).set(0)
        self._info.labels(model, digest).set(1)

    def watch_log(self, num_waiting: Callable[[], int]) -> None:
        """Asks how many rows wait whenever the metrics are read."""
        self._num_waiting = num_waiting

    def watch_queue(self, num_admitted: Callable[[], int]) -> None:
        """Asks how many examples are in work whenever the metrics are read or `look` is called."""
        self._num_admitted = num_admitted

    def look(self) -> None:
        """Keeps what changes with every request where siblings read it; call it now and then."""
        self._queue_depth.set(self._num_admitted())

    def text(self) -> bytes:
        """All metrics in Prometheus' text format, of all workers; blocks on the disk."""
        if self._num_waiting is not None:
            self._rows_waiting.set(self._num_waiting())
        self.look()
        if self._shared_folder is None:
            return generate_latest(self.registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody, path=str(self._shared_folder))  # type: ignore[no-untyped-call] # the library's own
        return generate_latest(everybody)

    def _counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(
        self,
        name: str,
        meaning: str,
        labels: Sequence[str] = (),
        *,
        mode: Literal["sum", "min", "mostrecent"] = "sum",
    ) -> Gauge:
        """`mode` is how the values of several workers become one."""
        return Gauge(name, meaning, labels, registry=self.registry, multiprocess_mode=mode)


def _share(folder: Path, index: int) -> Path:
    """Makes the library keep this process's values where its siblings read them; before the first metric is made.

    The files are known by the worker's place and not by its process, so that totals survive a worker that is killed.
    """
    shared = folder / "metrics"
    shared.mkdir(exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(shared)
    # The library's own way to be told who a process is: its documentation does the same for uWSGI.
    values.ValueClass = values.MultiProcessValue(lambda: index)  # type: ignore[no-untyped-call] # the library's own
    return shared
