"""Where examples come from: a closed table of sources, each a function that lists one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loopline.core.errors import InputError
from loopline.core.tables import extensions, resolve

if TYPE_CHECKING:
    from loopline.core.records import Task
    from loopline.data.listing import Listing
    from loopline.data.options import Columns

SOURCES = {
    "folder": "loopline.data.sources.folder:list_folder",
    "table": "loopline.data.sources.table:list_table",
    "plots": "loopline.data.sources.plots:list_plots",
    "parallel": "loopline.data.sources.parallel:list_parallel",
    "hub": "loopline.data.sources.hub:list_hub",
    "kaggle": "loopline.data.sources.kaggle:list_kaggle",
}
HUB_PREFIX = "hub:"
TABLE_SUFFIXES = (".csv", ".parquet")


def list_source(source: str | Path, *, task: Task, columns: Columns) -> Listing:
    """Lists the examples of a folder, a CSV or Parquet file, or `KIND:PLACE`; raises `InputError` for anything else.

    KIND is a name in `SOURCES` or of a project's own source, as in `hub:NAME`; the source is given PLACE as it stands
    there, but `hub` all of it.
    """
    kind, place = _kind_and_place(source)
    listing: Listing = resolve(SOURCES, kind, kind="source")(place, task=task, columns=columns)
    return listing


def _kind_and_place(source: str | Path) -> tuple[str, str]:
    kind, colon, place = str(source).partition(":")
    if isinstance(source, str) and colon and kind in {**SOURCES, **extensions("source")}:
        return kind, source if source.startswith(HUB_PREFIX) else place
    return _kind(source), str(source)


def _kind(source: str | Path) -> str:
    path = Path(source)
    if path.is_dir():
        return "folder"
    if path.is_file() and path.suffix.lower() in TABLE_SUFFIXES:
        return "table"
    if path.exists():
        raise InputError(f"source '{source}' given; expected a folder, a .csv or .parquet file, or {HUB_PREFIX}NAME.")
    raise InputError(
        f"source '{source}' does not exist; expected a folder, a .csv or .parquet file, or {HUB_PREFIX}NAME."
    )
