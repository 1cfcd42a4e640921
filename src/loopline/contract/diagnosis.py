"""What the last lines of a command say about its end: the file, the variable, the folder or the package it missed."""

from __future__ import annotations

import re
from collections.abc import Sequence

# In the order in which they are believed; each with what is said of its first group.
_SIGNS = (
    (r"Read-only file system: '([^']+)'", "it writes to '{}', and the disk is read-only: write to {writable}"),
    (r"Permission denied: '([^']+)'", "it may not open '{}': give the image's user the right to read it"),
    (
        r"No such file or directory: '([^']+)'",
        "the file '{}' is missing: copy it into the image, or name it in a variable",
    ),
    (r"^KeyError: '([A-Z][A-Z0-9_]+)'", "the variable {} is missing: declare it for the service"),
    (
        r"environment variable '?([A-Z][A-Z0-9_]+)'? (?:is )?(?:not set|missing)",
        "the variable {} is missing: declare it",
    ),
    (r"No module named '([^']+)'", "the package '{}' is missing in the image: add it to the requirements"),
    (r"(GLIBC_[\d.]+)' not found|cannot execute binary file|exec format error", "it was built for another machine"),
)


def missing(lines: Sequence[str], *, writable: Sequence[str]) -> str | None:
    """What the command missed, as far as its last lines tell; None where they do not."""
    for line in reversed(lines):
        for pattern, sentence in _SIGNS:
            if match := re.search(pattern, line):
                return sentence.format(match[1], writable=" or ".join(writable))
    return None


def last_words(lines: Sequence[str]) -> str:
    """The last error of Loopline's own, else the last line that says something."""
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if line.startswith("error: ")]
    return (errors or said or ["nothing was written"])[-1][:300]
