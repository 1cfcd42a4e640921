"""`drift.json` and `drift.html`: what the tests found, and what it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from loopline.core.records import DriftReport, DriftTest
from loopline.core.store import replace_folder, write_record, write_text
from loopline.monitoring.drift import DriftSample, principal_components
from loopline.page import Block, Figure, Figures, KeyFigure, KeyFigures, Section, Table, Verdict, render_page
from loopline.plots import drift_tests_png, embedding_png, label_shares_png

RECORD_FILE = "drift.json"
PAGE_FILE = "drift.html"
_COLUMNS = ("feature", "method", "statistic", "p", "corrected p", "effect", "least effect", "verdict")


def write_drift_report(
    report: DriftReport, reference: DriftSample, current: DriftSample, label_names: Sequence[str], *, output: Path
) -> None:
    """Writes the record and the page to the folder `output`, which is replaced as a whole."""
    blocks = drift_blocks(report, reference, current, label_names)
    lead = (
        f"{report.num_current:,} predictions, from {_moment(report.window_start, 'the first')} to "
        f"{_moment(report.window_end, 'the last')}, against {report.num_reference:,} held-out examples of the bundle."
    )
    page = render_page(
        f"Drift of {report.model}", [Section("Verdict", blocks)], lead=lead, created_at=report.created_at
    )
    with replace_folder(output) as folder:
        write_record(folder / RECORD_FILE, report)
        write_text(folder / PAGE_FILE, page)


def drift_blocks(
    report: DriftReport, reference: DriftSample, current: DriftSample, label_names: Sequence[str]
) -> tuple[Block, ...]:
    """Verdict, key figures, plots and tests of a report, for its own page and for pages that show more."""
    return (
        Verdict("bad" if report.drifted else "good", drift_sentence(report)),
        KeyFigures(
            (
                KeyFigure("current predictions", f"{report.num_current:,}"),
                KeyFigure("reference examples", f"{report.num_reference:,}", "which training did not see"),
                KeyFigure(
                    "false-alarm rate", f"{report.false_alarm_rate:.2%}", "of a whole report, if nothing changed"
                ),
            )
        ),
        Figures(tuple(_figures(report, reference, current, label_names))),
        Table("Two-sample tests", _COLUMNS, tuple(_row(test) for test in report.tests)),
    )


def drift_sentence(report: DriftReport) -> str:
    """The verdict in a sentence."""
    if not report.drifted:
        return f"No drift: none of {len(report.tests)} tests fired on {report.num_current:,} predictions."
    fired = [test.feature for test in report.tests if test.drifted]
    return f"Drift: {len(fired)} of {len(report.tests)} tests fired ({', '.join(fired)})."


def _figures(
    report: DriftReport, reference: DriftSample, current: DriftSample, label_names: Sequence[str]
) -> list[Figure]:
    evidence = drift_tests_png(report.tests, report.false_alarm_rate)
    num_labels = len(label_names)
    reference_K, current_K = (
        np.bincount(sample.probability_NK.argmax(axis=1), minlength=num_labels) / len(sample)
        for sample in (reference, current)
    )
    figures = [
        Figure(
            evidence,
            alt="Bars: how strongly each feature speaks against 'nothing changed'. " + drift_sentence(report),
            caption="Evidence of each test against 'nothing changed'.",
        ),
        Figure(
            label_shares_png(reference_K, current_K, label_names),
            alt="Bars: share of each predicted label in reference and current.",
            caption="Predicted labels.",
        ),
    ]
    components_RP, components_CP = principal_components(reference.embedding_ND, current.embedding_ND)
    if components_RP.shape[1] > 1:
        figures.append(
            Figure(
                embedding_png(components_RP[:, :2], components_CP[:, :2]),
                alt="Scatter plot of the embeddings on the reference's first two principal components.",
                caption="Embeddings of reference and current inputs.",
            )
        )
    return figures


def _row(test: DriftTest) -> tuple[str, ...]:
    return (
        test.feature,
        test.method,
        f"{test.statistic:.3f}",
        f"{test.p:.2g}",
        f"{test.corrected_p:.2g}",
        f"{test.effect:.3f}",
        f"{test.minimum_effect:g}",
        "drifted" if test.drifted else "",
    )


def _moment(moment: datetime | None, otherwise: str) -> str:
    return otherwise if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
