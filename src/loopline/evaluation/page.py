"""The page of an evaluation, and its parts for pages that show more."""

from __future__ import annotations

from loopline.core.records import Evaluation
from loopline.page import Figure, Figures, KeyFigure, KeyFigures, Section, Table, render_page

_NAMES = {
    "accuracy": "accuracy",
    "precision_macro": "precision (macro)",
    "recall_macro": "recall (macro)",
    "f1_macro": "F1 (macro)",
    "top5_accuracy": "top-5 accuracy",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
}


def evaluation_page(evaluation: Evaluation, *, confusion: bytes, calibration: bytes) -> str:
    """The whole evaluation as one HTML page; the two plots as PNG."""
    subject = evaluation.subject if evaluation.subject_kind == "run" else evaluation.subject[:12]
    lead = (
        f"{evaluation.num_examples:,} examples of {evaluation.dataset.name}@{evaluation.dataset.version[:12]}, "
        f"split {evaluation.split}. Brackets are 95% bootstrap intervals."
    )
    sections = [
        Section("Metrics", (metric_figures(evaluation),)),
        Section(
            "Confusion and calibration", (Figures((confusion_figure(confusion), calibration_figure(calibration))),)
        ),
        Section("Classes", (class_rows(evaluation),)),
        Section("Hardest examples", (hardest_rows(evaluation),)),
    ]
    title = f"Evaluation of {evaluation.subject_kind} {subject}"
    return render_page(title, sections, lead=lead, created_at=evaluation.created_at)


def metric_figures(evaluation: Evaluation) -> KeyFigures:
    """A key figure per metric with its interval."""
    return KeyFigures(
        tuple(
            KeyFigure(_NAMES.get(name, name), f"{metric.value:.4f}", f"[{metric.low:.4f}, {metric.high:.4f}]")
            for name, metric in evaluation.metrics.items()
        )
    )


def confusion_figure(png: bytes) -> Figure:
    """The confusion matrix with its words."""
    return Figure(
        png,
        alt="Confusion matrix: true classes in rows, predicted classes in columns, counts in the cells.",
        caption="Row: true class. Column: predicted class. Shade: share of the row.",
    )


def calibration_figure(png: bytes) -> Figure:
    """The reliability diagram with its words."""
    return Figure(
        png,
        alt="Reliability diagram: accuracy against confidence, with the number of predictions per bin.",
        caption="Above the dashed line the model is too modest, below it too sure.",
    )


def class_rows(evaluation: Evaluation) -> Table:
    """The per-class table."""
    rows = tuple(
        (row.label, f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", f"{row.num_examples:,}")
        for row in evaluation.per_class
    )
    return Table("Precision, recall and F1 of each class", ("class", "precision", "recall", "F1", "examples"), rows)


def hardest_rows(evaluation: Evaluation) -> Table:
    """The examples whose true label got the lowest probability."""
    rows = tuple(
        (row.example_id, row.label, row.predicted, f"{row.confidence:.3f}", f"{row.label_probability:.2g}")
        for row in evaluation.hardest
    )
    columns = ("example", "true", "predicted", "with probability", "true label's probability")
    return Table("Examples that the model found hardest, worst first", columns, rows)
