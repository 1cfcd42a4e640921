"""The page of an evaluation, and its parts for pages that show more. K classes."""

from __future__ import annotations

import numpy as np

from loopline.core.records import Evaluation, Metric
from loopline.page import Figure, Figures, KeyFigure, KeyFigures, Section, Table, render_page

# In the order of the page: how each metric is called there.
METRIC_NAMES = {
    "accuracy": "accuracy",
    "top5_accuracy": "top-5 accuracy",
    "precision_macro": "precision, mean of the classes",
    "recall_macro": "recall, mean of the classes",
    "f1_macro": "F1, mean of the classes",
    "log_loss": "log loss, nats",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
}
_HEADLINES = {"accuracy": "accuracy", "f1_macro": "macro F1", "log_loss": "log loss", "ece": "calibration error"}
_MAX_PAIRS = 10


def evaluation_page(evaluation: Evaluation, *, confusion: bytes, calibration: bytes) -> str:
    """The whole evaluation as one HTML page; the two plots as PNG."""
    lead = (
        f"{evaluation.num_examples:,} examples of {evaluation.dataset.name}@{evaluation.dataset.version[:12]}, "
        f"split {evaluation.split}. Ranges are 95% bootstrap intervals."
    )
    figures = Figures((confusion_figure(confusion), calibration_figure(calibration)))
    sections = [
        Section("", (headline_figures(evaluation),)),
        Section("Metrics", (metric_rows(evaluation),)),
        Section("Confusion and calibration", (figures,)),
        Section("Classes", (class_rows(evaluation), pair_rows(evaluation))),
        Section("Hardest examples", (hardest_rows(evaluation),)),
    ]
    facts = (
        (evaluation.subject_kind, evaluation.subject),
        ("dataset", f"{evaluation.dataset.name}@{evaluation.dataset.version}"),
        ("split", f"{evaluation.split}, digest {evaluation.split_digest}"),
        ("predictions", f"predictions.npz, digest {evaluation.predictions_digest}"),
    )
    subject = evaluation.subject if evaluation.subject_kind == "run" else evaluation.subject[:12]
    title = f"Evaluation of {evaluation.subject_kind} {subject}"
    return render_page(title, sections, lead=lead, facts=facts, created_at=evaluation.created_at)


def headline_figures(evaluation: Evaluation) -> KeyFigures:
    """The four figures to see from afar, each with its interval."""
    return KeyFigures(
        tuple(
            KeyFigure(words, f"{evaluation.metrics[name].value:.4f}", _interval(evaluation.metrics[name]))
            for name, words in _HEADLINES.items()
        )
    )


def metric_rows(evaluation: Evaluation) -> Table:
    """Every metric with its interval and its direction."""
    rows = tuple(
        (
            words,
            f"{evaluation.metrics[name].value:.4f}",
            _interval(evaluation.metrics[name]),
            "higher" if evaluation.metrics[name].higher_is_better else "lower",
        )
        for name, words in METRIC_NAMES.items()
        if name in evaluation.metrics
    )
    return Table("Metrics with 95% bootstrap intervals", ("metric", "value", "95% interval", "better"), rows)


def confusion_figure(png: bytes) -> Figure:
    """The confusion matrix with its words."""
    return Figure(
        png,
        alt="Confusion matrix: true classes in rows, predicted classes in columns, counts in the cells.",
        caption="Row: true class. Column: predicted class. Shade and per cent: share of the row.",
    )


def calibration_figure(png: bytes) -> Figure:
    """The reliability diagram with its words."""
    return Figure(
        png,
        alt="Reliability diagram: accuracy against confidence, with the number of predictions per bin.",
        caption="Bars below the dashed line: the model is too sure. Above it: too modest.",
    )


def class_rows(evaluation: Evaluation) -> Table:
    """The per-class table."""
    rows = tuple(
        (row.label, f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", f"{row.num_examples:,}")
        for row in evaluation.per_class
    )
    return Table("Precision, recall and F1 of each class", ("class", "precision", "recall", "F1", "examples"), rows)


def pair_rows(evaluation: Evaluation) -> Table:
    """The pairs of classes that are mistaken most, true label first."""
    errors_KK = np.array(evaluation.confusion)
    num_labelled_K = errors_KK.sum(axis=1)
    np.fill_diagonal(errors_KK, 0)
    rows = []
    for cell in np.argsort(-errors_KK, axis=None, kind="stable")[:_MAX_PAIRS]:
        true, predicted = divmod(int(cell), len(errors_KK))
        if count := errors_KK[true, predicted]:
            names = evaluation.label_names[true], evaluation.label_names[predicted]
            rows.append((*names, f"{count:,}", f"{count / num_labelled_K[true]:.1%}"))
    columns = ("true class", "taken for", "examples", "share of the true class")
    return Table("What is mistaken for what, most often first", columns, tuple(rows))


def hardest_rows(evaluation: Evaluation) -> Table:
    """The examples whose true label got the lowest probability."""
    rows = tuple(
        (row.example_id, row.label, row.predicted, f"{row.confidence:.3f}", f"{row.label_probability:.2g}")
        for row in evaluation.hardest
    )
    columns = ("example", "true class", "predicted", "its probability", "probability of the true class")
    return Table("Examples whose true class got the lowest probability", columns, rows)


def _interval(metric: Metric) -> str:
    return f"{metric.low:.4f} – {metric.high:.4f}"
