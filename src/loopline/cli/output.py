"""How commands print: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import click

from loopline.core.records import Record

_UNBOUNDED = 1_000_000


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Prints a table; cells are plain text, so that `[x]` in a name is no markup."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        # A pipe has no width: programs that read it get a row a line, however long its cells.
        unbounded = console.options.update(width=_UNBOUNDED)
        console = Console(width=Measurement.get(console, unbounded, table).maximum)
    console.print(table)


def print_json(value: Record | Sequence[Record] | dict[str, object]) -> None:
    """Prints a record, a list of records or a dictionary as indented JSON."""
    if isinstance(value, Record):
        click.echo(json.dumps(value.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False))
    elif isinstance(value, dict):
        click.echo(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))
    else:
        rows = [record.model_dump(mode="json") for record in value]
        click.echo(json.dumps(rows, indent=2, sort_keys=True, ensure_ascii=False))
