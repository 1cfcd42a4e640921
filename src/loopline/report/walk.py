"""A project's files as they lie on the disk, tracked or not: reports that were moved, results that stay out of git."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_SKIPPED = frozenset({"node_modules", "venv", "env", "site-packages", "__pycache__", "build", "dist", "site"})
_MAX_FILES = 200_000


def walk(folder: Path, *, depth: int) -> Iterator[Path]:
    """The regular files down to so many folders below one, in order, at most 200,000.

    Hidden folders, environments and built files are left out, and so are links: what they lead to may be elsewhere.
    """
    num_files = 0
    for here, folders, names in os.walk(folder):
        level = len(Path(here).relative_to(folder).parts)
        kept = [name for name in folders if not name.startswith(".") and name not in _SKIPPED]
        folders[:] = sorted(kept) if level < depth else []
        for name in sorted(names):
            path = Path(here, name)
            if num_files >= _MAX_FILES:
                return
            if path.is_file() and not path.is_symlink():
                num_files += 1
                yield path
