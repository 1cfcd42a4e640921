"""`RemoteListing`: what a folder in a bucket holds, so that a copy can be checked, and an interrupted one goes on."""

from __future__ import annotations

from typing import Literal

from loopline.core.records.bundle import FileEntry
from loopline.core.records.record import Record


class RemoteListing(Record):
    """Each file's path from the folder, its digest and size; not `complete` while files are still being sent."""

    schema_version: Literal[1] = 1
    complete: bool
    files: dict[str, FileEntry]
