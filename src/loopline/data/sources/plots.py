"""Plots photographed in several spectral bands: a TIFF file per band, told apart by its name, or one with all bands.

`field_03/plot_17_100kg_red_edge.tif` is the band red edge of plot `field_03/plot_17_100kg`, which got 100 kg. The level
is `zero` or a number before `kg`, in the file's name or, failing that, in a folder's. Each plot becomes one multi-band
TIFF file in the snapshot.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loopline.core.errors import InputError, InvalidExample
from loopline.core.progress import track
from loopline.core.records import SkippedFile, Task, TransformStep
from loopline.data.listing import Listing, read_file
from loopline.data.options import Columns
from loopline.data.splits import is_split_name
from loopline.transforms.bands import BAND_WORDS, DecodeBands, count_bands, split_band

PLOT_SUFFIXES = (".tif", ".tiff")
# Of the usual four-band cameras, in the order of wavelength.
_FOUR = ("green", "red", "red_edge", "nir")
_LEVEL = re.compile(r"(?<![A-Za-z])zero(?![A-Za-z])|(?<![\d.])(\d+(?:\.\d+)?)[ _-]?kg", re.IGNORECASE)


def list_plots(source: str, *, task: Task, columns: Columns) -> Listing:
    """Lists the plots below a folder; a plot that lacks a band, or whose bands do not fit together, is a problem.

    Raises `InputError` for a folder without TIFF files and for translation.
    """
    if task == "translation" or columns != Columns():
        raise InputError(
            f"folder of plots '{source}' given for {task} with columns; expected regression or classification, and no "
            "column names: a plot's level stands in its files' names."
        )
    root = Path(source).resolve()
    files = _by_plot(root)
    if not files:
        raise InputError(f"folder '{source}' holds no {' or '.join(PLOT_SUFFIXES)} file; expected some per plot.")
    bands = _bands(root, files)
    decoder = DecodeBands(bands=bands)
    plots: dict[str, list[tuple[str, str]]] = {}
    problems = []
    for plot_id, members in track(files.items(), "joining bands"):
        try:
            if not _LEVEL.search(plot_id):
                raise InvalidExample("no name tells the level; expected 'zero', or a number before 'kg'.")
            decoder.join(_read(root, members))
            plots[plot_id] = members
        except (OSError, InvalidExample) as error:
            reason = error.message if isinstance(error, InvalidExample) else f"cannot be read: {error.strerror}."
            problems.append(SkippedFile(path=plot_id, reason=reason))
    with_split = [_without_split(plot_id) for plot_id in plots]
    return Listing(
        inputs=Joined(root, tuple(plots.values()), decoder),
        ids=[example_id for _, example_id in with_split],
        targets=[_level(plot_id) for plot_id in plots],
        splits=[split for split, _ in with_split],
        source=f"plots in folder '{source}'",
        input_kind="bands",
        decode=_step(bands),
        problems=problems,
    )


@dataclass(frozen=True)
class Joined:
    """Inputs of several files each: (path below `root`, its name for the decoder) per file and plot."""

    root: Path
    members: tuple[list[tuple[str, str]], ...]
    decoder: DecodeBands

    def __len__(self) -> int:
        return len(self.members)

    def read(self, indices: Sequence[int]) -> list[bytes]:
        """The multi-band files of some plots."""
        return [self.decoder.join(_read(self.root, self.members[index])) for index in indices]


def as_plots(listing: Listing) -> Listing:
    """A listing whose every input is a multi-band TIFF file, as one of plots."""
    raws = (listing.inputs.read([row])[0] for row in range(len(listing)))
    return replace(listing, input_kind="bands", decode=_step(_bands_of_first(raws)))


def _step(bands: Sequence[str]) -> TransformStep:
    return TransformStep(name="decode_bands", params={"bands": list(bands)})


def _by_plot(root: Path) -> dict[str, list[tuple[str, str]]]:
    """The files by their plot, both in order of their names."""
    found: dict[str, list[tuple[str, str]]] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(folder).relative_to(root).as_posix()
        for name in sorted(names):
            if name.lower().endswith(PLOT_SUFFIXES) and not name.startswith("."):
                _, plot = split_band(name, tuple(BAND_WORDS))
                path = f"{below}/{name}".removeprefix("./")
                found.setdefault(f"{below}/{plot}".removeprefix("./"), []).append((path, name))
    return found


def _bands(root: Path, files: dict[str, list[tuple[str, str]]]) -> tuple[str, ...]:
    """The bands that most plots have, in the order of wavelength; for single files, as many as the first one holds."""
    counts = Counter(
        band
        for members in files.values()
        for band in {split_band(name, tuple(BAND_WORDS))[0] for _, name in members}
        if band is not None
    )
    named = tuple(band for band in BAND_WORDS if counts[band] > len(files) / 2)
    return named or _bands_of_first(_read(root, members[:1])[0][1] for members in files.values())


def _bands_of_first(raws: Iterable[bytes]) -> tuple[str, ...]:
    """The bands of the first file that can be read: the usual four, or else their numbers, for no name tells them."""
    for raw in raws:
        try:
            number = count_bands(raw)
        except InvalidExample:
            continue
        return _FOUR if number == len(_FOUR) else tuple(f"band_{place}" for place in range(1, number + 1))
    raise InputError("none of the TIFF files can be read.")


def _read(root: Path, members: Sequence[tuple[str, str]]) -> list[tuple[str, bytes]]:
    return [(name, read_file(f"{root}/{path}")) for path, name in members]


def _without_split(plot_id: str) -> tuple[str, str]:
    """The split that the first folder names, and the id below it; no split where it names none."""
    first, _, rest = plot_id.partition("/")
    return (first, rest) if rest and is_split_name(first) else ("", plot_id)


def _level(plot_id: str) -> str:
    """The level that the name nearest to the plot tells."""
    # From the file's name outwards, and in each name the last.
    for name in reversed(plot_id.split("/")):
        if found := list(_LEVEL.finditer(name)):
            return found[-1][1] or "0"
    raise AssertionError(plot_id)
