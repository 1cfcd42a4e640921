"""The stages of the demo, one after the other, each a call of a public function and a row of the table."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from loopline import data, loop
from loopline.bundle import folder_name
from loopline.core.errors import StateError
from loopline.core.records import DriftReport, Record, utc_now
from loopline.core.store import write_text
from loopline.core.workspace import Workspace
from loopline.demo.evidence import Curves, LoopEvidence, ServedPicture, ServingEvidence, StageRow
from loopline.demo.page import demo_page, same_words
from loopline.demo.server import RunningServer, post_pictures, running_server
from loopline.subjects import open_dataset

if TYPE_CHECKING:
    from loopline.predictor import Answer, PredictorLike

MODEL = "fashion"
ALIAS = "champion"
NUM_CLIENTS = 8
NUM_SHOWN = 10
# float32 sums come out in another order in another batch size: what two answers to one picture may differ by.
ANSWER_TOLERANCE = 1e-5
_LOG_WAIT_S = 10.0

Announce = Callable[[str], None]


class DemoReport(Record):
    """The demo's table and its page."""

    rows: tuple[StageRow, ...]
    accuracy: float
    page: str

    @property
    def duration_s(self) -> float:
        """Seconds of all stages together."""
        return sum(row.duration_s for row in self.rows)


@dataclass
class Stages:
    """Collects rows and announces each as it ends."""

    announce: Announce
    rows: list[StageRow] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, file: Path) -> Iterator[list[str]]:
        """Times a block, which appends its result; `file` is where to look."""
        self.announce(f"{name} …")
        started = time.perf_counter()
        results: list[str] = []
        yield results
        row = StageRow(stage=name, result="; ".join(results), duration_s=time.perf_counter() - started, file=str(file))
        self.rows.append(row)
        self.announce(f"  {row.result}  ({row.duration_s:.1f} s)")


def demo(
    *,
    overrides: Sequence[str] = ("recipe=fashion",),
    num_requests: int = 500,
    workspace: Workspace | None = None,
    announce: Announce = print,
) -> DemoReport:
    """Walks the loop once: data, train, evaluate, export, register, promote, serve, drift, page.

    Gets Fashion-MNIST into the workspace where it is not there yet, trains what `overrides` describe, and sends
    `num_requests` real test pictures over HTTP, then as many corrupted ones. Raises `StateError` where an answer over
    HTTP is not the in-process one, or drift is seen where there is none, or not seen where there is.
    """
    place = workspace or Workspace.default()
    stages = Stages(announce)
    made = _make_model(stages, place, overrides)
    served = _serve_and_watch(stages, place, num_requests=num_requests)
    page = place.reports / "demo.html"
    with stages.stage("page", page) as results:
        write_text(page, demo_page(made, served, stages.rows))
        results.append("data, curves, confusion, calibration, answers, drift")
    accuracy = made.evaluation.metrics["accuracy"].value
    return DemoReport(rows=tuple(stages.rows), accuracy=accuracy, page=str(page))


def _make_model(stages: Stages, place: Workspace, overrides: Sequence[str]) -> LoopEvidence:
    """From data to a promoted version."""
    with stages.stage("data", place.data / MODEL / "manifest.json") as results:
        manifest = data.get(MODEL, workspace=place)
        results.append(", ".join(f"{split.num_examples:,} {name}" for name, split in manifest.splits.items()))
        results.append(manifest.source)
    with stages.stage("train", place.runs) as results:
        run = loop.train(overrides, workspace=place)
        results.append(f"run {run.run_id}, {run.num_steps:,} steps")
        results += [f"{name} {value:.4f}" for name, value in run.metrics.items() if name == "validation/accuracy"]
    with stages.stage("evaluate", place.reports) as results:
        evaluation = loop.evaluate(run, split="test", workspace=place)
        accuracy = evaluation.metrics["accuracy"]
        results.append(f"test accuracy {accuracy.value:.4f}, 95% interval {accuracy.low:.4f} to {accuracy.high:.4f}")
    with stages.stage("export", place.bundles) as results:
        bundle = loop.export(run, name=MODEL, workspace=place)
        parity = bundle.parity
        results.append(f"graph equals checkpoint on {parity.num_inputs} inputs within {parity.max_abs_error:.1g}")
        results.append(folder_name(bundle))
    with stages.stage("register", place.tracking_db) as results:
        version = loop.register(bundle, name=MODEL, workspace=place)
        results.append(version.reference)
    with stages.stage("promote", place.tracking_db) as results:
        version = loop.promote(version, ALIAS, workspace=place)
        results.append(f"{version.name}@{ALIAS} is version {version.number}: {version.reason}")
    return LoopEvidence(manifest, run, read_curves(place.runs / run.run_id), evaluation, bundle)


def _serve_and_watch(stages: Stages, place: Workspace, *, num_requests: int) -> ServingEvidence:
    """Starts the server, asks it clean and corrupted pictures, compares answers, tests both windows, stops it."""
    predictor = loop.load(f"{MODEL}@{ALIAS}", workspace=place)
    reader = open_dataset(predictor.bundle.dataset, place).split("test")
    clean = reader.raw_many(range(min(num_requests, reader.num_examples)))
    corrupted = [corrupt(raw, seed=index) for index, raw in enumerate(clean)]
    log = place.reports / "demo-server.log"
    with ExitStack() as until_stopped:
        with stages.stage("serve", log) as results:
            server = until_stopped.enter_context(running_server(f"{MODEL}@{ALIAS}", place, log=log))
            results.append(f"ready at {server.url}")
        asked = [
            _ask(stages, place, server, predictor, raws=raws, name=name)
            for name, raws in (("clean", clean), ("corrupted", corrupted))
        ]
        with stages.stage("stop", log) as results:
            until_stopped.close()
            results.append("the server answered what it had accepted and ended with exit code 0")
    shown = [
        ServedPicture(
            clean=clean[index],
            corrupted=corrupted[index],
            label=predictor.bundle.label_names[reader.targets[index]],
            answer_clean=asked[0].answers[index]["label"],
            answer_corrupted=asked[1].answers[index]["label"],
        )
        for index in range(min(NUM_SHOWN, len(clean)))
    ]
    return ServingEvidence(
        pictures=shown,
        num_answers=sum(len(one.answers) for one in asked),
        largest_difference=max(one.difference for one in asked),
        clean=asked[0].report,
        corrupted=asked[1].report,
    )


@dataclass(frozen=True)
class _Asked:
    """One window: the server's answers, how far they are from the in-process ones, and the drift report."""

    answers: list[dict[str, Any]]
    difference: float
    report: DriftReport


def _ask(
    stages: Stages,
    place: Workspace,
    server: RunningServer,
    predictor: PredictorLike,
    *,
    raws: Sequence[bytes],
    name: str,
) -> _Asked:
    with stages.stage(f"predict {name}", place.prediction_log) as results:
        since, sent = utc_now(), time.perf_counter()
        answers = post_pictures(server, raws, num_clients=NUM_CLIENTS, description=f"predicting {name}")
        rate = len(raws) / (time.perf_counter() - sent)
        difference = compare_answers(answers, predictor.predict_raw(raws), predictor.bundle.label_names)
        _wait_for_log(place, since=since, num_rows=len(raws))
        until = utc_now()
        results.append(f"{len(raws)} answers over HTTP, {same_words(difference)}")
        results.append(f"{rate:,.0f} per second")
    output = place.reports / f"drift-{name}"
    with stages.stage(f"drift {name}", output / "drift.html") as results:
        report = loop.drift(f"{MODEL}@{ALIAS}", since=since, until=until, output=output, workspace=place)
        verdict = "drift" if report.drifted else "no drift"
        results.append(f"{verdict}: {sum(test.drifted for test in report.tests)} of {len(report.tests)} tests fired")
    if report.drifted != (name == "corrupted"):
        raise StateError(f"the {name} window was reported as {verdict}; see '{output}'.")
    return _Asked(answers, difference, report)


def compare_answers(answers: Sequence[dict[str, Any]], expected: Sequence[Answer], label_names: Sequence[str]) -> float:
    """The largest difference of a probability between answers over HTTP and in process.

    Raises `StateError` where a label differs, or a probability by more than 1e-5.
    """
    largest = 0.0
    for index, (answer, own) in enumerate(zip(answers, expected, strict=True)):
        given = np.array([answer["probabilities"][name] for name in label_names])
        largest = max(largest, float(np.abs(given - own.outputs).max()))
        if answer["label"] != own.predicted or largest > ANSWER_TOLERANCE:
            raise StateError(
                f"picture {index}: '{answer['label']}' over HTTP, '{own.predicted}' in process, probabilities differ "
                f"by {largest:.3g}; expected the same within {ANSWER_TOLERANCE:g}."
            )
    return largest


def corrupt(raw: bytes, *, seed: int) -> bytes:
    """The picture as a failing camera would take it: less contrast, more light, noise; a PNG file, seeded."""
    with Image.open(io.BytesIO(raw)) as image:
        pixels = np.asarray(image, dtype=np.float64)
    noise = np.random.default_rng(seed).normal(0, 25, pixels.shape)
    damaged = np.clip(0.5 * pixels + 60 + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(damaged).save(buffer, "PNG")
    return buffer.getvalue()


def read_curves(run_folder: Path) -> Curves:
    """The metrics that a run recorded step by step, as `split/metric` to (steps, values)."""
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for line in (run_folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        step = row.pop("step")
        for name, value in row.items():
            steps, values = curves.setdefault(name, ([], []))
            steps.append(step)
            values.append(value)
    return curves


def _wait_for_log(place: Workspace, *, since: datetime, num_rows: int) -> None:
    """The server writes its log in batches behind the answers; a window is whole when all rows are there."""
    from loopline.prediction_log import open_log

    deadline = time.monotonic() + _LOG_WAIT_S
    with open_log(place.prediction_log, must_exist=True) as log:
        while (found := len(log.read(since=since))) < num_rows:
            if time.monotonic() > deadline:
                raise StateError(f"{found} of {num_rows} predictions are in '{place.prediction_log}'.")
            time.sleep(0.1)
