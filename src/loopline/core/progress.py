"""Progress on the terminal: one bar per long job, on standard error, silent where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], description: str, *, total: int | None = None) -> Iterator[T]:
    """Yields the items and moves a bar; `total` where the items have no length."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(description, total=total) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def bar(description: str, *, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar that the yielded function advances by a count; without a terminal it prints nothing."""
    if not sys.stderr.isatty():
        yield _ignore
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)


def _ignore(_count: int) -> None:
    return None
