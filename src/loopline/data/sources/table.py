"""A CSV or Parquet file with a row per example: a picture's path, a row of numbers, or a text, and a target.

Paths are relative to the table's folder and must stay in it.
"""

from __future__ import annotations

import csv
import os
import posixpath
import time
from pathlib import Path

import numpy as np

from loopline.core.errors import InputError, UnknownName
from loopline.core.records import SkippedFile, Task, TransformStep
from loopline.data.listing import Computed, Files, Listing
from loopline.data.options import Columns
from loopline.data.sources.plots import PLOT_SUFFIXES, as_plots

_Table = dict[str, list[str]]


def list_table(source: str, *, task: Task, columns: Columns) -> Listing:
    """Lists the rows of a table; raises `UnknownName` for a column that it lacks, `InputError` if it is no table."""
    listed_at_ns = time.time_ns()
    path = Path(source)
    table = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    if task == "translation":
        if columns.input is None or columns.target is None:
            raise InputError(
                f"table '{path.name}' given for translation without its columns; it has: {', '.join(table)}.",
                next_command="loopline data snapshot … --column input=COLUMN --column target=COLUMN",
            )
        return _list_texts(path, table, columns)
    if columns.input is not None and "," in columns.input:
        return _list_values(path, table, columns)
    return _list_files(path, table, columns, listed_at_ns)


def _list_values(path: Path, table: _Table, columns: Columns) -> Listing:
    """Rows of numbers; each becomes a JSON array, which is what a server will be sent."""
    names = [name for name in (columns.input or "").split(",") if name]
    features = [_column(path, table, name) for name in names]
    num_rows = len(features[0])
    decode = TransformStep(name="decode_values", params={"size": [len(names)]})
    return Listing(
        # Written as they stand in the table: what is no number is found when each row is looked at.
        inputs=Computed(num_rows, lambda row: f"[{', '.join(column[row].strip() for column in features)}]".encode()),
        ids=_column(path, table, columns.id) if columns.id else [str(row) for row in range(num_rows)],
        targets=_column(path, table, columns.target or "label"),
        splits=_column(path, table, columns.split) if columns.split else [""] * num_rows,
        groups=_column(path, table, columns.group) if columns.group else [],
        source=f"table '{path}'",
        input_kind="values",
        decode=decode,
    )


def _list_texts(path: Path, table: _Table, columns: Columns) -> Listing:
    texts = _column(path, table, columns.input or "")
    rows = [str(row) for row in range(len(texts))]
    return Listing(
        inputs=Computed(len(texts), lambda row: texts[row].encode()),
        ids=_column(path, table, columns.id) if columns.id else rows,
        targets=_column(path, table, columns.target or ""),
        splits=_column(path, table, columns.split) if columns.split else [""] * len(texts),
        groups=_column(path, table, columns.group) if columns.group else [],
        source=f"table '{path}'",
        input_kind="text",
    )


def _list_files(path: Path, table: _Table, columns: Columns, listed_at_ns: int) -> Listing:
    root = path.parent.resolve()
    values = _column(path, table, columns.input or "path")
    ids = _column(path, table, columns.id) if columns.id else values
    targets = _column(path, table, columns.target or "label")
    splits = _column(path, table, columns.split) if columns.split else [""] * len(values)
    groups = _column(path, table, columns.group) if columns.group else []
    problems: list[SkippedFile] = []
    rows: list[int] = []
    stats: list[tuple[int, int, int]] = []
    for row, value in enumerate(values):
        try:
            stats.append(_stat(root, value))
            rows.append(row)
        except InputError as error:
            problems.append(SkippedFile(path=value or f"row {row + 1}", reason=error.message))
    listing = Listing(
        inputs=Files(root, [values[row] for row in rows], np.array(stats, dtype=np.int64).reshape(-1, 3), listed_at_ns),
        ids=[ids[row] for row in rows],
        targets=[targets[row] for row in rows],
        splits=[splits[row] for row in rows],
        source=f"table '{path}'",
        groups=[groups[row] for row in rows] if groups else [],
        problems=problems,
    )
    names_bands = bool(rows) and all(values[row].lower().endswith(PLOT_SUFFIXES) for row in rows)
    return as_plots(listing) if names_bands else listing


def _stat(root: Path, value: str) -> tuple[int, int, int]:
    """Size, time and inode of a file that the table names; raises `InputError` if it may not be read."""
    # By the text, not by the file system: links within the folder may lead anywhere, as they may in a folder source.
    normal = posixpath.normpath(value.replace(os.sep, "/"))
    if not value or "\0" in value:
        raise InputError("the path is empty or holds a NUL character.")
    if normal == ".." or normal.startswith("../") or Path(value).is_absolute():
        raise InputError("the path leads out of the table's folder.")
    try:
        stat = (root / value).stat()
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}.") from None
    if not (root / value).is_file():
        raise InputError("neither a file nor a link to one.")
    return (stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _column(path: Path, table: _Table, name: str) -> list[str]:
    if name not in table:
        raise UnknownName(f"column of table '{path.name}'", name, table)
    return table[name]


def _read_csv(path: Path) -> _Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            names = next(rows, [])
            columns: list[list[str]] = [[] for _ in names]
            for row in rows:
                if len(row) != len(names):
                    raise InputError(
                        f"line {rows.line_num} of '{path.name}' has {len(row)} columns; expected {len(names)}."
                    )
                for column, value in zip(columns, row, strict=True):
                    column.append(value)
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' is no CSV file in UTF-8: {error}.") from None
    return dict(zip(names, columns, strict=True))


def _read_parquet(path: Path) -> _Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise InputError(f"'{path}' is no Parquet file: {error}.") from None
    # A missing value is an empty text here, which is refused where a value is needed.
    return {
        name: ["" if value is None else str(value) for value in table.column(name).to_pylist()]
        for name in table.column_names
    }
