"""`load.json` and `load.html`: every step of a load test, the knee, and the promises."""

from __future__ import annotations

from pathlib import Path

from loopline.core.records import LoadTest, SloResult
from loopline.core.store import replace_folder, write_bytes, write_record, write_text
from loopline.page import Block, Figure, Figures, KeyFigure, KeyFigures, Section, Table, Text, Verdict, render_page
from loopline.plots.load import latency_png, throughput_png

RECORD_FILE = "load.json"
PAGE_FILE = "load.html"
COLUMNS = ("users", "per second", "p50", "p95", "p99", "max", "requests", "errors")
_HOW_TO_READ = (
    "Each user waits for an answer before it asks again, so that users are what stands in the server at once. The knee "
    "is the fewest users that reach nine tenths of the highest rate: more of them only wait. Latencies are those of "
    "right answers; the first moments of a step are not counted. The load generator shares the machine."
)


def write_load_test(test: LoadTest, output: Path) -> None:
    """Writes the record, the plots and the page to the folder `output`, which is replaced as a whole."""
    throughput, latency = throughput_png(test), latency_png(test)
    page = load_page(test, throughput, latency)
    with replace_folder(output) as folder:
        write_record(folder / RECORD_FILE, test)
        write_bytes(folder / "throughput.png", throughput)
        write_bytes(folder / "latency.png", latency)
        write_text(folder / PAGE_FILE, page)


def load_page(test: LoadTest, throughput: bytes, latency: bytes) -> str:
    """The load test as one HTML page."""
    last = test.steps[-1]
    figures = (
        KeyFigure("right answers", f"{max(step.rate_per_s for step in test.steps):.1f} /s", "of the best step"),
        KeyFigure("knee", f"{test.knee_users}", "users"),
        KeyFigure("p99", f"{last.p99_ms:.1f} ms", f"with {last.users} users"),
        KeyFigure("errors", f"{last.error_share:.2%}", f"with {last.users} users"),
    )
    head: tuple[Block, ...] = (KeyFigures(figures),)
    if test.slos:
        words = "; ".join(map(slo_sentence, test.slos))
        head = (Verdict("good" if test.are_slos_kept else "bad", f"{words}."), *head)
    pictures = (
        Figure(throughput, alt="Right answers per second against users.", caption="What the server gives."),
        Figure(latency, alt="Latency against users.", caption="What a user waits."),
    )
    sections = [
        Section("", head),
        Section("Load", (Figures(pictures), Table("Steps", COLUMNS, tuple(rows(test))), Text(_HOW_TO_READ))),
    ]
    offered = "as fast as answered" if test.offered_rate is None else f"{test.offered_rate:g} requests/s offered"
    facts = (("bundle", test.bundle), ("address", test.url), ("inputs", f"{test.num_inputs} files"), ("pace", offered))
    return render_page(f"Load test of {test.model}", sections, facts=facts, created_at=test.created_at)


def rows(test: LoadTest) -> list[tuple[str, ...]]:
    """The steps as cells, by `COLUMNS`."""
    return [
        (
            str(step.users),
            f"{step.rate_per_s:.1f}",
            f"{step.p50_ms:.1f} ms",
            f"{step.p95_ms:.1f} ms",
            f"{step.p99_ms:.1f} ms",
            f"{step.max_ms:.1f} ms",
            f"{step.num_requests}",
            ", ".join(f"{kind}: {count}" for kind, count in sorted(step.errors.items())) or "none",
        )
        for step in test.steps
    ]


def slo_sentence(slo: SloResult) -> str:
    """A promise and what became of it, in words."""
    sign = "≥" if slo.metric == "rate" else "≤"
    limit, found = _shown(slo.metric, slo.limit), _shown(slo.metric, slo.found)
    return f"{slo.metric} {sign} {limit}: {'kept' if slo.is_kept else 'broken'} with {found}"


def _shown(metric: str, value: float) -> str:
    if metric == "errors":
        return f"{value:.2%}"
    return f"{value:.1f}/s" if metric == "rate" else f"{value:.1f} ms"
