"""Parallel text files: line n of `train.en` means line n of `train.de`, as corpora for translation come; `.gz` too.

`parallel:FOLDER` takes every pair of files in a folder, `parallel:FOLDER/corpus` the one of that name. What stands
before the language names the split where it begins with a word for one (`val.en`, `test_2016_flickr.de.gz`).
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from loopline.core.errors import InputError, UnknownName
from loopline.core.records import Task
from loopline.data.listing import Computed, Listing
from loopline.data.options import Columns
from loopline.data.splits import is_split_name

# `train.en`, `test_2016_flickr.de.gz`: the name, and the language.
_FILE = re.compile(r"(?P<name>.+?)\.(?P<language>[A-Za-z]{2,3}([-_][A-Za-z]+)?)(\.gz)?")


def list_parallel(source: str, *, task: Task, columns: Columns) -> Listing:
    """Lists the lines of all pairs of files; the languages are the column `input` and the column `target`.

    Raises `InputError` for files of unequal length, without a counterpart, or that are not text in UTF-8, and for
    another task than translation; `UnknownName` for a language that is not there.
    """
    if task != "translation":
        raise InputError(f"parallel texts given for {task}; expected the task translation.")
    folder, files = _files(Path(source))
    languages = sorted({language for _, language in files})
    if columns.input is None or columns.target is None:
        raise InputError(
            f"'{source}' given without its two languages; it has: {', '.join(languages) or 'none'}.",
            next_command="loopline data snapshot … --column input=en --column target=de",
        )
    for language in (columns.input, columns.target):
        if language not in languages:
            raise UnknownName("language", language, languages, of=f"'{source}'")
    texts: list[str] = []
    targets: list[str] = []
    ids: list[str] = []
    splits: list[str] = []
    for name in sorted(name for name, language in files if language == columns.input):
        if (name, columns.target) not in files:
            raise InputError(f"'{name}.{columns.input}' has no counterpart '{name}.{columns.target}'.")
        lines, meant = _lines(files[name, columns.input]), _lines(files[name, columns.target])
        if len(lines) != len(meant):
            raise InputError(
                f"'{name}.{columns.input}' has {len(lines):,} lines and '{name}.{columns.target}' {len(meant):,}; "
                "expected as many."
            )
        texts += lines
        targets += meant
        ids += [f"{name}:{number}" for number in range(1, len(lines) + 1)]
        splits += [_split(name)] * len(lines)
    return Listing(
        inputs=Computed(len(texts), lambda row: texts[row].encode()),
        ids=ids,
        targets=targets,
        splits=splits,
        source=f"parallel texts '{folder}' ({columns.input}-{columns.target})",
        input_kind="text",
    )


def _files(place: Path) -> tuple[Path, dict[tuple[str, str], Path]]:
    """The folder, and its files by name and language."""
    folder, prefix = (place, "") if place.is_dir() else (place.parent, place.name)
    matches = [(path, _FILE.fullmatch(path.name)) for path in sorted(folder.glob("*"))] if folder.is_dir() else []
    files = {
        (match["name"], match["language"]): path
        for path, match in matches
        if match is not None and path.is_file() and prefix in ("", match["name"])
    }
    if not files:
        raise InputError(f"'{place}' holds no parallel texts; expected files such as train.en and train.de, or .gz.")
    return folder, files


def _lines(path: Path) -> list[str]:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' is no text in UTF-8{' and gzip' * (path.suffix == '.gz')}: {error}.") from None
    # At line feeds alone: a text may hold any other mark that counts as the end of a line.
    return [line.strip() for line in text.removesuffix("\n").split("\n")]


def _split(name: str) -> str:
    word = re.split(r"[._-]", name)[0]
    return word if is_split_name(word) else ""
