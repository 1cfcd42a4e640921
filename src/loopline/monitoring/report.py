"""`drift.json` and `drift.html`: what the tests found, and what it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from loopline.core.records import DriftReport
from loopline.core.store import replace_folder, write_record, write_text
from loopline.monitoring.drift import DriftSample, principal_components
from loopline.page import Block, Figure, Section, Table, Tile, Tiles, Verdict, render_page
from loopline.plots import evidence_plot, scatter_plot, shares_plot

RECORD_FILE = "drift.json"
PAGE_FILE = "drift.html"
_MAX_POINTS = 2000
_COLUMNS = ("feature", "method", "statistic", "p", "corrected p", "effect", "least effect", "verdict")


def write_drift_report(
    report: DriftReport, reference: DriftSample, current: DriftSample, label_names: Sequence[str], *, output: Path
) -> None:
    """Writes the record and the page to the folder `output`, which is replaced as a whole."""
    blocks = drift_blocks(report, reference, current, label_names)
    subtitle = f"{_moment(report.window_start, 'the first')} to {_moment(report.window_end, 'the last')} prediction"
    page = render_page(
        f"Drift of {report.model}", [Section("Verdict", blocks)], subtitle=subtitle, created_at=report.created_at
    )
    with replace_folder(output) as folder:
        write_record(folder / RECORD_FILE, report)
        write_text(folder / PAGE_FILE, page)


def drift_blocks(
    report: DriftReport, reference: DriftSample, current: DriftSample, label_names: Sequence[str]
) -> list[Block]:
    """Verdict, figures, tests and plots of a report, for its own page and for pages that show more."""
    rows = [
        (
            test.feature,
            test.method,
            f"{test.statistic:.3f}",
            f"{test.p:.2g}",
            f"{test.corrected_p:.2g}",
            f"{test.effect:.3f}",
            f"{test.minimum_effect:g}",
            "drifted" if test.drifted else "",
        )
        for test in report.tests
    ]
    points_RP, points_CP = principal_components(reference.embedding_ND, current.embedding_ND)
    shares = {
        name: list(np.bincount(sample.probability_NK.argmax(axis=1), minlength=len(label_names)) / len(sample))
        for name, sample in (("reference", reference), ("current", current))
    }
    blocks: list[Block] = [
        Verdict("bad" if report.drifted else "good", drift_sentence(report)),
        Tiles(
            [
                Tile("current predictions", f"{report.num_current:,}"),
                Tile("reference examples", f"{report.num_reference:,}", "which training did not see"),
                Tile("false-alarm rate", f"{report.false_alarm_rate:.2%}", "of a whole report, where nothing changed"),
            ]
        ),
        Figure(
            evidence_plot({test.feature: test.corrected_p for test in report.tests}, level=report.false_alarm_rate),
            alt="Bars: how strongly each feature speaks against 'nothing changed'; " + drift_sentence(report),
        ),
        Table(
            "Two-sample tests",
            ("feature", "method", "statistic", "p", "corrected p", "effect", "least effect", "verdict"),
            rows,
        ),
    ]
    if points_RP.shape[1] > 1:
        blocks.append(
            Figure(
                scatter_plot(
                    {"reference": points_RP[:_MAX_POINTS, :2], "current": points_CP[:_MAX_POINTS, :2]},
                    x_label="PC 1 (spreads of the reference)",
                    y_label="PC 2",
                ),
                alt="Scatter plot of the embeddings on the reference's first two principal components.",
                caption="Embeddings of reference and current inputs.",
            )
        )
    blocks.append(
        Figure(
            shares_plot(
                {name: list(share) for name, share in shares.items()}, label_names, x_label="share of predictions, %"
            ),
            alt="Bars: share of each predicted label in reference and current.",
            caption="Predicted labels.",
        )
    )
    return blocks


def drift_sentence(report: DriftReport) -> str:
    """The verdict in a sentence."""
    if not report.drifted:
        return f"No drift: none of {len(report.tests)} tests fired on {report.num_current:,} predictions."
    fired = [test.feature for test in report.tests if test.drifted]
    return f"Drift: {len(fired)} of {len(report.tests)} tests fired ({', '.join(fired)})."


def _moment(moment: object, otherwise: str) -> str:
    return otherwise if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
