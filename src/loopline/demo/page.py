"""The demo's page: one look at everything that the loop left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loopline.core.records import DatasetManifest, DriftReport, Evaluation, Run
from loopline.demo.evidence import Curves, LoopEvidence, ServingEvidence, StageRow
from loopline.monitoring import shown_tests
from loopline.page import Figure, Figures, KeyFigure, KeyFigures, Section, Table, Text, Verdict, render_page
from loopline.plots import (
    SheetPicture,
    class_counts_png,
    confusion_png,
    drift_tests_png,
    learning_curves_png,
    picture_sheet,
    reliability_png,
)


def demo_page(made: LoopEvidence, served: ServingEvidence, rows: Sequence[StageRow]) -> str:
    """The page as one HTML text."""
    accuracy = made.evaluation.metrics["accuracy"]
    head = KeyFigures(
        (
            KeyFigure(
                "test accuracy", f"{accuracy.value:.2%}", f"95% interval {accuracy.low:.2%} to {accuracy.high:.2%}"
            ),
            KeyFigure("the whole loop", f"{sum(row.duration_s for row in rows):.0f} s", f"{len(rows)} stages"),
            KeyFigure("answers over HTTP", f"{served.num_answers:,}", same_words(served.largest_difference)),
            KeyFigure(
                "bundle against checkpoint",
                f"{made.bundle.parity.max_abs_error:.1g}",
                f"largest difference on {made.bundle.parity.num_inputs} inputs",
            ),
        )
    )
    sections = [
        Section("", (head,)),
        _stages_section(rows),
        _data_section(made.manifest),
        _training_section(made.run, made.curves),
        _evaluation_section(made.evaluation),
        _serving_section(served),
        _drift_section(served),
    ]
    facts = (
        ("run", made.run.run_id),
        ("dataset", f"{made.manifest.name}@{made.manifest.version}"),
        ("source", made.manifest.source),
        ("bundle", made.bundle.digest),
        ("code", f"{made.run.code.commit or 'no commit'}{' with changes' if made.run.code.dirty else ''}"),
        ("Python", f"{made.run.environment.python}, {made.run.environment.platform}"),
    )
    lead = "From real data to a served, monitored model: what every stage did, and the evidence that it left."
    return render_page("Loopline on Fashion-MNIST", sections, lead=lead, facts=facts)


def _stages_section(rows: Sequence[StageRow]) -> Section:
    cells = tuple((row.stage, row.result, f"{row.duration_s:.1f}") for row in rows)
    return Section("Stages", (Table("What each stage did", ("stage", "result", "seconds"), cells),))


def _data_section(manifest: DatasetManifest) -> Section:
    splits = [(name, manifest.splits[name]) for name in ("train", "validation", "test")]
    counts = {name: split.class_counts for name, split in splits}
    words = ", ".join(f"{split.num_examples:,} {name}" for name, split in splits)
    figure = Figure(class_counts_png(counts, manifest.label_names), alt=f"Examples per class and split: {words}.")
    return Section("Data", (Text(f"{words} examples. Licence: {manifest.licence}."), Figures((figure,))))


def _training_section(run: Run, curves: Curves) -> Section:
    words = f"Run {run.run_id}: {run.num_steps:,} steps, seed {run.seed}, {run.environment.device}."
    shown = {name: curve for name, curve in curves.items() if name.endswith(("/loss", "/accuracy"))}
    figure = Figure(learning_curves_png(shown), alt="Learning curves: loss and accuracy over steps.")
    return Section("Training", (Text(words), Figures((figure,))))


def _evaluation_section(evaluation: Evaluation) -> Section:
    confusion = Figure(
        confusion_png(np.array(evaluation.confusion), evaluation.label_names),
        alt="Confusion matrix on the test split: true labels in rows, predicted ones in columns.",
        caption="Row: true label. Column: predicted label.",
    )
    reliability = Figure(
        reliability_png(evaluation.calibration),
        alt="Reliability diagram: accuracy against confidence.",
        caption="Below the diagonal the model is too sure, above it too modest.",
    )
    rows = tuple(
        (row.label, f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}") for row in evaluation.per_class
    )
    table = Table("Each class on the test split", ("class", "precision", "recall", "F1"), rows)
    return Section("Evaluation", (Figures((confusion, reliability)), table))


def _serving_section(served: ServingEvidence) -> Section:
    shown = served.pictures
    clean = [(picture.clean, picture.answer_clean, picture.label) for picture in shown]
    corrupted = [(picture.corrupted, picture.answer_corrupted, picture.label) for picture in shown]
    sheet = picture_sheet(
        [[SheetPicture(raw, (answer,), answer != label) for raw, answer, label in row] for row in (clean, corrupted)]
    )
    words = "; ".join(f"{picture.label}: {picture.answer_clean} / {picture.answer_corrupted}" for picture in shown)
    figure = Figure(
        sheet,
        alt=f"Pictures, clean above and corrupted below, with the server's answers. Label: clean / corrupted. {words}.",
        caption="Above: as they are. Below: as a failing camera would take them. Red: the answer is wrong.",
        pixel_ratio=1.4,
    )
    return Section("Serving", (Figures((figure,)),))


def _drift_section(served: ServingEvidence) -> Section:
    figures = tuple(
        Figure(
            drift_tests_png(shown_tests(report), report.false_alarm_rate),
            alt=f"Corrected p of each test on the {name} window; {sum(test.drifted for test in report.tests)} fired.",
            caption=f"The {name} window: {report.num_current} predictions, {_fired(report)}.",
        )
        for name, report in (("clean", served.clean), ("corrupted", served.corrupted))
    )
    verdict = Verdict(
        "good" if served.corrupted.drifted and not served.clean.drifted else "bad",
        f"On the clean window {_fired(served.clean)}, on the corrupted one {_fired(served.corrupted)}; "
        f"the stated false-alarm rate is {served.clean.false_alarm_rate:.1%} per report.",
    )
    return Section("Drift", (verdict, Figures(figures)))


def same_words(difference: float) -> str:
    """How alike two sets of answers are, in words."""
    return "to the last bit as in process" if difference == 0 else f"as in process within {difference:.1g}"


def _fired(report: DriftReport) -> str:
    return f"{sum(test.drifted for test in report.tests)} of {len(report.tests)} tests fired"
