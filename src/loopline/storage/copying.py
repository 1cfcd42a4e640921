"""Copies of folders that are whole or say that they are not.

URL/
  …                the files, as they lie in the folder
  .loopline.json   their digests; written while files are sent, and marked complete at the end

A push that was interrupted sends only what the listing does not name yet; a pull that was interrupted fetches only what
is not here yet. What differs from its digest is never kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from loopline.core.errors import IntegrityError, StateError, UnknownName
from loopline.core.records.bundle import FileEntry
from loopline.core.records.remote import RemoteListing
from loopline.core.store import atomic_file, canonical_json, digest_file
from loopline.storage.place import Place

LISTING = ".loopline.json"
# Latency, not bandwidth, is what small files wait for.
_NUM_THREADS = 16
# After so many files or bytes the listing is written again, so that a killed push loses at most these.
_FILES_A_LISTING, _BYTES_A_LISTING = 200, 1 << 28
T = TypeVar("T")


@dataclass(frozen=True)
class Copied:
    """How much of a folder was copied, and how much was there already."""

    num_files: int
    num_bytes: int
    num_present: int


def push_folder(folder: Path, place: Place, *, only: Callable[[str], bool] | None = None) -> Copied:
    """Sends a folder's files (those that `only` chooses) and removes what they replace; returns what was sent.

    Locks, temporary files and files whose name begins with a dot stay here. Raises `StateError` where the store
    refuses and `IntegrityError` where a file arrived with another size.
    """
    chosen = [path for path in _files(folder) if only is None or only(path)]
    if not chosen:
        raise StateError(f"there is nothing to send in '{folder}'.")
    present = _journal(place)
    sizes = place.sizes() if present else {}
    entries = dict(_in_parallel(_described, [(folder, path) for path in chosen]))
    done = {
        path: entry
        for path, entry in entries.items()
        if present.get(path) == entry and sizes.get(path) == entry.num_bytes
    }
    missing = [path for path in chosen if path not in done]
    if not missing and present.keys() == entries.keys() and read_listing(place).complete:
        return Copied(0, 0, len(done))
    _send(folder, place, missing, entries=entries, done=done)
    arrived = place.sizes()
    for path, entry in entries.items():
        if arrived.get(path) != entry.num_bytes:
            raise IntegrityError(f"'{path}' has {arrived.get(path)} bytes at {place.url}; {entry.num_bytes} were sent.")
    _write_listing(place, entries, complete=True)
    for path in present.keys() - entries.keys():
        place.remove(path)
    return Copied(len(missing), sum(entries[path].num_bytes for path in missing), len(chosen) - len(missing))


def pull_folder(place: Place, folder: Path, *, only: Callable[[str], bool] | None = None) -> Copied:
    """Fetches what a push left (those files that `only` chooses); every file is checked before it takes its name.

    Raises `UnknownName` where nothing was pushed, `StateError` where a push did not finish, `IntegrityError` where a
    file is not the one that was pushed.
    """
    listing = read_listing(place)
    if not listing.complete:
        raise StateError(f"what lies at {place.url} is not whole: its push was interrupted, or still goes on.")
    chosen = {path: entry for path, entry in listing.files.items() if only is None or only(path)}
    for path in chosen:
        if path.startswith("/") or ".." in path.split("/"):
            raise IntegrityError(f"the listing at {place.url} names '{path}', which leaves its folder.")
    missing = {path: entry for path, entry in chosen.items() if not _is_here(folder / path, entry)}
    for _ in _in_parallel(_fetch, [(place, folder, path, entry) for path, entry in missing.items()]):
        pass
    return Copied(len(missing), sum(entry.num_bytes for entry in missing.values()), len(chosen) - len(missing))


def read_listing(place: Place) -> RemoteListing:
    """What was pushed to a place; raises `UnknownName` where nothing was."""
    data = place.read(LISTING)
    if data is None:
        raise UnknownName("folder", place.url, [])
    try:
        return RemoteListing.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(f"'{LISTING}' at {place.url} is no listing: {error.errors()[0]['msg']}.") from None


def _journal(place: Place) -> dict[str, FileEntry]:
    try:
        return read_listing(place).files
    except UnknownName:
        return {}


def _write_listing(place: Place, entries: Mapping[str, FileEntry], *, complete: bool) -> None:
    listing = RemoteListing(complete=complete, files=dict(sorted(entries.items())))
    place.write(LISTING, canonical_json(listing.model_dump(mode="json")))


def _send(
    folder: Path,
    place: Place,
    missing: Iterable[str],
    *,
    entries: Mapping[str, FileEntry],
    done: Mapping[str, FileEntry],
) -> None:
    """Sends files and keeps the listing close behind; a file that changes meanwhile is an `IntegrityError`."""
    sent, num_files, num_bytes = dict(done), 0, 0
    # From now on a reader must not take it for whole.
    _write_listing(place, sent, complete=False)
    for path in _in_parallel(_send_one, [(folder, place, path) for path in missing]):
        if _described(folder, path)[1] != entries[path]:
            raise IntegrityError(f"'{folder / path}' changed while it was sent.")
        sent[path] = entries[path]
        num_files, num_bytes = num_files + 1, num_bytes + entries[path].num_bytes
        if num_files >= _FILES_A_LISTING or num_bytes >= _BYTES_A_LISTING:
            _write_listing(place, sent, complete=False)
            num_files, num_bytes = 0, 0


def _send_one(folder: Path, place: Place, path: str) -> str:
    place.send(str(folder / path), path)
    return path


def _fetch(place: Place, folder: Path, path: str, entry: FileEntry) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(folder / path) as temporary:
        place.fetch(path, str(temporary))
        if not _is_here(temporary, entry):
            raise IntegrityError(f"'{path}' at {place.url} is not the file that was pushed.")


def _files(folder: Path) -> list[str]:
    """Paths of files from the folder, sorted; nothing hidden, nothing temporary, no lock."""
    found = []
    for base, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        found += [
            (Path(base) / name).relative_to(folder).as_posix()
            for name in files
            if not name.startswith(".") and not name.endswith(".lock")
        ]
    return sorted(found)


def _described(folder: Path, path: str) -> tuple[str, FileEntry]:
    return path, FileEntry(digest=digest_file(folder / path), num_bytes=(folder / path).stat().st_size)


def _is_here(path: Path, entry: FileEntry) -> bool:
    return path.is_file() and path.stat().st_size == entry.num_bytes and digest_file(path) == entry.digest


def _in_parallel(function: Callable[..., T], arguments: list[tuple[object, ...]]) -> Iterable[T]:
    """Results in the order in which they come; the first error ends the rest."""
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        waiting = [pool.submit(function, *each) for each in arguments]
        try:
            for finished in as_completed(waiting):
                yield finished.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
