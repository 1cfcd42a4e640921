"""Load tests that lie in a project: the statistics that Locust writes with `--csv`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from loopline.report.evidence import Sentence

_MAX_BYTES = 4 << 20
_MAX_FILES = 3
# Of Locust 1.0 and later.
_COLUMNS = {"Name", "Request Count", "Failure Count", "Requests/s", "50%", "99%"}
_ALL = "Aggregated"


def load_test_sentences(root: Path, files: Iterable[Path]) -> list[Sentence]:
    """What the newest load tests among a project's files measured: requests, failures, rate, response times."""
    fitting = [path for path in files if path.name.lower().endswith(".csv") and path.stat().st_size <= _MAX_BYTES]
    found = []
    for path in sorted(fitting, key=lambda path: -path.stat().st_mtime):
        if path.name.endswith(("_stats.csv", "_requests.csv")) and (sentence := _sentence(path)):
            found.append(Sentence(sentence, (path.relative_to(root).as_posix(),)))
        if len(found) == _MAX_FILES:
            break
    return found


def _sentence(path: Path) -> str:
    rows = _rows(path)
    total = next((row for row in rows if row["Name"] == _ALL), None)
    if total is None:
        return ""
    try:
        num_requests, num_failures = int(total["Request Count"]), int(total["Failure Count"])
        rate = float(total["Requests/s"])
        median_ms, slow_ms = float(total["50%"]), float(total["99%"])
    except ValueError:  # `N/A`: nothing was answered
        return ""
    routes = ", ".join(f"`{row['Name'][:60]}`" for row in rows if row["Name"] != _ALL)
    share = 100 * num_failures / max(num_requests, 1)
    return (
        f"A load test by Locust sent {num_requests:,} requests to {routes or 'the service'}, {rate:.1f} a second;"
        f" {num_failures:,} ({share:.2g}%) failed. Half were answered within {median_ms:.0f} ms, 99% within"
        f" {slow_ms:.0f} ms."
    )


def _rows(path: Path) -> list[Mapping[str, str]]:
    """The rows of a table with Locust's columns; none of any other."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            table = csv.DictReader(file)
            if not set(table.fieldnames or ()) >= _COLUMNS:
                return []
            return [row for row in table if all(row.get(column) is not None for column in _COLUMNS)]
    except csv.Error:
        return []
