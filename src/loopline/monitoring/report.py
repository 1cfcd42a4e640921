"""`drift.json` and `drift.html`: what the tests found, and what it looks like."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loopline.core.records import DriftReport, DriftTest
from loopline.core.store import replace_folder, write_record, write_text
from loopline.monitoring.drift import DriftSample, DriftSubject, drift_sentence, shown_tests
from loopline.monitoring.features import Feature, answer_features
from loopline.monitoring.two_sample import principal_components
from loopline.page import Figure, Figures, KeyFigure, KeyFigures, Section, Table, Text, Verdict, render_page
from loopline.plots import distributions_png, drift_tests_png, embedding_png, label_shares_png

RECORD_FILE = "drift.json"
PAGE_FILE = "drift.html"
_COLUMNS = ("feature", "method", "statistic", "p", "corrected p", "effect", "least effect", "verdict")
_HOW_TO_READ = (
    "A test fires when its corrected p is at most the false-alarm rate and its effect at least the least effect. The "
    "effect is the largest gap between two distribution functions (Kolmogorov–Smirnov), the share of labels that would "
    "have to be others (chi-squared), or the energy distance as a share of its largest possible value. The p values of "
    "energy distance and chi-squared come from permutations and are never smaller than one over their number."
)


def write_drift_report(
    report: DriftReport, reference: DriftSample, current: DriftSample, subject: DriftSubject, *, output: Path
) -> None:
    """Writes the record and the page to the folder `output`, which is replaced as a whole."""
    page = drift_page(report, reference, current, subject)
    with replace_folder(output) as folder:
        write_record(folder / RECORD_FILE, report)
        write_text(folder / PAGE_FILE, page)


def drift_page(report: DriftReport, reference: DriftSample, current: DriftSample, subject: DriftSubject) -> str:
    """The report as one HTML page: verdict, key figures, plots, every test."""
    lead = (
        f"{report.num_current:,} predictions, from {_moment(report.window_start, 'the first')} to "
        f"{_moment(report.window_end, 'the last')}, against {report.num_reference:,} held-out examples of the bundle."
    )
    tests = Table("Two-sample tests of window against reference", _COLUMNS, tuple(_row(test) for test in report.tests))
    sections = [
        Section("", (Verdict("bad" if report.drifted else "good", drift_sentence(report)), _key_figures(report))),
        Section("What differs", (Figures((_tests_figure(report), *_answer_figures(reference, current, subject))),)),
        Section("Embeddings", (Figures(_embedding_figures(reference, current)),)),
        Section("Tests", (Text(_HOW_TO_READ), tests)),
    ]
    facts = (("model", report.model), ("bundle", report.bundle_digest), ("drift reference", report.reference_digest))
    return render_page(f"Drift of {report.model}", sections, lead=lead, facts=facts, created_at=report.created_at)


def _key_figures(report: DriftReport) -> KeyFigures:
    fired = sum(test.drifted for test in report.tests)
    smallest = min(report.tests, key=lambda test: test.corrected_p)
    return KeyFigures(
        (
            KeyFigure("tests that fired", f"{fired} of {len(report.tests)}"),
            KeyFigure("smallest corrected p", f"{smallest.corrected_p:.2g}", smallest.feature),
            KeyFigure("predictions", f"{report.num_current:,}", f"against {report.num_reference:,} of the reference"),
            KeyFigure("false-alarm rate", f"{report.false_alarm_rate:.2%}", "of a whole report"),
        )
    )


def _tests_figure(report: DriftReport) -> Figure:
    shown = shown_tests(report)
    which = "Every test" if len(shown) == len(report.tests) else f"{len(shown)} of {len(report.tests)} tests"
    return Figure(
        drift_tests_png(shown, report.false_alarm_rate),
        alt="Bars: the corrected p of each feature, the alarm level as a line. " + drift_sentence(report),
        caption=f"{which}, of the components the strongest. Bars that pass the line speak against 'nothing changed'; "
        "orange ones are drift.",
    )


def _answer_figures(reference: DriftSample, current: DriftSample, subject: DriftSubject) -> list[Figure]:
    """Labels as bars; every other feature of the answers, but for a classifier's confidence, as two histograms."""
    features = [
        answer_features(subject.task, sample.outputs_NK, subject.output_names) for sample in (reference, current)
    ]
    figures = []
    for expected, found in zip(*features, strict=True):
        if expected.label_names:
            shares_K, current_K = (_label_shares(feature) for feature in (expected, found))
            png = label_shares_png(shares_K, current_K, expected.label_names)
            words = "Bars: share of each predicted label in reference and window."
        elif subject.task == "classification":
            continue
        else:
            name = f"{expected.name}, {subject.unit}" if subject.unit else expected.name
            png = distributions_png(expected.column_N, found.column_N, xlabel=name)
            words = f"Two histograms: {expected.name} in reference and window."
        figures.append(Figure(png, alt=words, caption=f"{expected.name.capitalize()}."))
    return figures


def _label_shares(feature: Feature) -> NDArray[np.float64]:
    counts_K = np.bincount(feature.column_N, minlength=len(feature.label_names))
    return counts_K / len(feature.column_N)


def _embedding_figures(reference: DriftSample, current: DriftSample) -> tuple[Figure, ...]:
    components_RP, components_CP = principal_components(reference.embedding_ND, current.embedding_ND)
    if components_RP.shape[1] < 2:
        return ()
    figure = Figure(
        embedding_png(components_RP[:, :2], components_CP[:, :2]),
        alt="Scatter plot of the embeddings of reference and window on their first two principal components.",
        caption="The embeddings on the first two principal components, in units of their spread.",
    )
    return (figure,)


def _row(test: DriftTest) -> tuple[str, ...]:
    return (
        test.feature,
        test.method,
        f"{test.statistic:.3f}",
        f"{test.p:.2g}",
        f"{test.corrected_p:.2g}",
        f"{test.effect:.3f}",
        f"{test.minimum_effect:g}",
        "drift" if test.drifted else "",
    )


def _moment(moment: datetime | None, otherwise: str) -> str:
    return otherwise if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
