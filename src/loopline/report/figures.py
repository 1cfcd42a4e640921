"""The pictures of a report: which file an address means, and whether a reader will see it there."""

from __future__ import annotations

import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote

from loopline.core.store import digest_file

FIGURES = "figures"
SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_FIGURE_BYTES = 32 << 20
# The pictures that the course's template brings along as examples: overview, wandb, registry, bucket, build.
SAMPLE_DIGESTS = frozenset(
    {
        "e2dacac63e0577ae89a40bd6a09dd29f642594ef65d8eaf7116b91be29286a85",
        "706bcf49f34bb8141b8f3984575802c1a141d3cecffbf7a5fb03baef42c67da1",
        "da4a51ae9ce702d82c5b80418e582f77868824e1be8292d836f6a79a633c5b3c",
        "b0a59bff99299446a1690ea6700793ca8b09e1e176222981224d2b4c35ef96f3",
        "667bbb4ed82acda269b913bcd88a8c07a98803956abb639fcc152ca51bf8016c",
    }
)
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]{1,20}:|//)", re.I)


@dataclass(frozen=True)
class Figure:
    """A picture on the disk (`path`), or why it is none that counts (`problem`, which then says so in words).

    `kind` is `ok`, `elsewhere` (an address on the web), `missing` (no file), `unusable` (a file nobody can look at) or
    `sample` (the template's own picture).
    """

    address: str
    path: Path | None
    kind: Literal["ok", "elsewhere", "missing", "unusable", "sample"]
    problem: str = ""


def find_figure(address: str, *, folder: Path, root: Path) -> Figure:
    """The picture that an address in a report means; `folder` holds the report, `root` the project. Never raises.

    Reads nothing outside `root`, also not through links. An address that begins with `/` counts from the root, as on
    GitHub.
    """
    if _ADDRESS.match(address) and not re.match(r"[a-z]:\\", address, re.I):
        shown = address if len(address) <= 80 else f"{address[:60]}…"
        return Figure(address, None, "elsewhere", f"'{shown}' is no file of the project; expected one in '{FIGURES}/'.")
    relative = re.split(r"[?#]", address, maxsplit=1)[0].strip()
    spellings = dict.fromkeys((relative, unquote(relative), relative.replace("\\", "/")))
    found = next((path for text in spellings if (path := _inside(text, folder=folder, root=root))), None)
    if found is None:
        return Figure(address, None, "missing", f"'{address}' does not exist.")
    problem = _useless(found, root=root)
    if problem:
        return Figure(address, found, "unusable", f"'{address}' {problem}.")
    if digest_file(found) in SAMPLE_DIGESTS:
        return Figure(address, found, "sample", f"'{address}' is the template's sample picture.")
    return Figure(address, found, "ok")


def _inside(text: str, *, folder: Path, root: Path) -> Path | None:
    """The file that an address names, if it is one and lies in the project once all links are followed."""
    start = root if text.startswith("/") else folder
    try:
        path = start.joinpath(*PurePosixPath(text.lstrip("/")).parts).resolve()
        return path if path.is_relative_to(root.resolve()) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long a name, a zero in it, links in a circle
        return None


def _useless(path: Path, *, root: Path) -> str:
    """Why a file is no picture of a report; empty for one that is."""
    if path.suffix.lower() not in SUFFIXES:
        return f"is no picture of the kinds {', '.join(suffix[1:] for suffix in SUFFIXES)}"
    if FIGURES not in path.relative_to(root.resolve()).parts[:-1]:
        return f"is not in a folder '{FIGURES}'"
    problem = _unreadable(path)
    return f"cannot be shown: {problem}" if problem else ""


def _unreadable(path: Path) -> str:
    """Why a file is no picture that can be shown; empty for one that can."""
    from PIL import Image

    if path.stat().st_size > MAX_FIGURE_BYTES:
        return f"it is larger than {MAX_FIGURE_BYTES >> 20} MiB"
    try:
        with warnings.catch_warnings():  # a picture of more than 89 million pixels is a refusal here, not a warning
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=["PNG", "JPEG"]) as image:
                image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return "it has too many pixels"
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, MemoryError):
        return "it is damaged, or no PNG or JPEG picture"
    return ""
