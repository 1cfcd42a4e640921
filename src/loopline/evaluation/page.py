"""The page of an evaluation: what all tasks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loopline.core.records import Evaluation, Metric
from loopline.page import Figure, KeyFigure, KeyFigures, Section, Table, Text, render_page

# In the order of the page: how each metric is called there, and what is better.
METRICS = {
    "accuracy": ("accuracy", "higher"),
    "top5_accuracy": ("top-5 accuracy", "higher"),
    "precision_macro": ("precision, mean of the classes", "higher"),
    "recall_macro": ("recall, mean of the classes", "higher"),
    "f1_macro": ("F1, mean of the classes", "higher"),
    "log_loss": ("log loss, nats", "lower"),
    "brier": ("Brier score", "lower"),
    "ece": ("calibration error (ECE)", "lower"),
    "mae": ("mean absolute error", "lower"),
    "rmse": ("root mean squared error", "lower"),
    "r2": ("R², share of the variance explained", "higher"),
    "bias": ("bias, mean of predicted minus true", "nearer 0"),
    "coverage": ("share of truths in the interval", "nearer the stated"),
    "width": ("mean width of the interval", "lower"),
    "bleu": ("BLEU", "higher"),
    "chrf": ("chrF", "higher"),
    "length_ratio": ("length, words over the reference's", "nearer 1"),
}
_IN_UNITS = frozenset({"mae", "rmse", "bias", "width"})
_FEEDBACK = (
    "The examples are served predictions whose truth came back through feedback. People choose what they answer to: "
    "these are not a sample of all predictions."
)


def evaluation_page(evaluation: Evaluation, headlines: Mapping[str, str], sections: Sequence[Section]) -> str:
    """The whole evaluation as one HTML page: headlines, all metrics, then the sections of the task."""
    where = f"split {evaluation.split}" if evaluation.split != "feedback" else "from feedback"
    lead = (
        f"{evaluation.num_examples:,} examples of {evaluation.dataset.name}@{evaluation.dataset.version[:12]}, "
        f"{where}. Ranges are 95% bootstrap intervals."
    )
    head = [
        Section("", (_headline_figures(evaluation, headlines),)),
        Section("Metrics", (_metric_rows(evaluation), *_remarks(evaluation))),
    ]
    facts = [
        (evaluation.subject_kind, evaluation.subject),
        ("dataset", f"{evaluation.dataset.name}@{evaluation.dataset.version}"),
        ("split", f"{evaluation.split}, digest {evaluation.split_digest}"),
        ("predictions", f"predictions.npz, digest {evaluation.predictions_digest}"),
    ]
    if evaluation.metric_signature is not None:
        facts.append(("sacreBLEU", evaluation.metric_signature))
    subject = evaluation.subject if evaluation.subject_kind == "run" else evaluation.subject[:12]
    title = f"Evaluation of {evaluation.subject_kind} {subject}"
    return render_page(title, [*head, *sections], lead=lead, facts=facts, created_at=evaluation.created_at)


def shown(value: float) -> str:
    """A figure in four digits, as many as are read: 0.8980, 12.34, 1,235, 3.1e-05."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.4g}" if abs(value) >= 0.001 else f"{value:.2g}"


def shown_interval(metric: Metric) -> str:
    """The two ends of a metric's interval."""
    return f"{shown(metric.low)} – {shown(metric.high)}"


def map_figure(png: bytes, *, coloured_by: str) -> Figure:
    """The t-SNE plot with its words."""
    return Figure(
        png,
        alt=f"Scatter plot of the embeddings in the plane (t-SNE), coloured by {coloured_by}.",
        caption=f"The embeddings in the plane (t-SNE), coloured by {coloured_by}: near points are alike to the model; "
        "distances between groups and their sizes mean little.",
    )


def _headline_figures(evaluation: Evaluation, headlines: Mapping[str, str]) -> KeyFigures:
    unit = evaluation.unit or ""
    return KeyFigures(
        tuple(
            KeyFigure(
                f"{words}, {unit}" if unit and name in _IN_UNITS else words,
                shown(evaluation.metrics[name].value),
                shown_interval(evaluation.metrics[name]),
            )
            for name, words in headlines.items()
            if name in evaluation.metrics
        )
    )


def _metric_rows(evaluation: Evaluation) -> Table:
    rows = []
    for name, (words, better) in METRICS.items():
        if name in evaluation.metrics:
            metric = evaluation.metrics[name]
            label = f"{words}, {evaluation.unit}" if evaluation.unit and name in _IN_UNITS else words
            rows.append((label, shown(metric.value), shown_interval(metric), better))
    return Table("Metrics with 95% bootstrap intervals", ("metric", "value", "95% interval", "better"), tuple(rows))


def _remarks(evaluation: Evaluation) -> list[Text]:
    remarks = []
    if evaluation.stated_coverage is not None and "coverage" in evaluation.metrics:
        stated = f"{evaluation.stated_coverage:.0%}"
        remarks.append(Text(f"The model states that its interval holds the truth in {stated} of the cases."))
    if evaluation.split == "feedback":
        remarks.append(Text(_FEEDBACK))
    if (ratings := evaluation.ratings) is not None and ratings.num_up + ratings.num_down:
        share = ratings.num_up / (ratings.num_up + ratings.num_down)
        remarks.append(Text(f"Rated by people: {ratings.num_up:,} up, {ratings.num_down:,} down, {share:.0%} up."))
    return remarks
