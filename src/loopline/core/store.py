"""Digests, atomic writes and locks: the only way bytes of ours reach the disk.

A write lands whole or not at all: it goes to a temporary name in the same folder, is flushed to the disk and renamed.
A process killed in between leaves the old state, and at worst a temporary file named `.NAME.….tmp` beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from loopline.core.errors import InputError, IntegrityError, StateError
from loopline.core.records.record import Record

R = TypeVar("R", bound=Record)
_CHUNK_BYTES = 1 << 20


def digest_bytes(data: bytes | memoryview) -> str:
    """SHA-256 of the bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits, read in pieces of 1 MiB."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no white space, UTF-8, no NaN. Digests are taken of this."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_json(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return digest_bytes(canonical_json(value))


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file atomically, making its folder if needed."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file atomically, with `\\n` line ends on every system."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is flushed and renamed to `path`, on an error removed."""
    temporary = _temporary(path)
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        _name(error, path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, renamed to `path` on success and removed on an error.

    Raises `StateError` if `path` exists: folders of ours are addressed by content or id and never rewritten.
    """
    if path.exists():
        raise StateError(f"folder '{path}' exists already; expected a new name.")
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        temporary.rename(path)
        _flush_folder(path.parent)
    except OSError as error:
        _name(error, path)
        raise
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """As `atomic_folder`, for results that may stand there already: the old folder goes when the new one is whole.

    A process killed between the two renames leaves the old folder under the temporary name `.NAME.….old`.
    """
    if not path.exists():
        with atomic_folder(path) as temporary:
            yield temporary
        return
    new = _temporary(path).with_suffix(".new")
    with atomic_folder(new) as temporary:
        yield temporary
    old = _temporary(path).with_suffix(".old")
    path.rename(old)
    new.rename(path)
    shutil.rmtree(old)


def read_json(path: Path) -> Any:
    """Reads a JSON file; raises `InputError` naming the file where it is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"file '{path}' does not exist.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(f"file '{path}' is not JSON: {error}.") from None


def write_record(path: Path, record: Record) -> None:
    """Writes a record as indented JSON with sorted keys, atomically."""
    write_json(path, record.model_dump(mode="json"))


def read_record(kind: type[R], path: Path) -> R:
    """Reads a record; raises `IntegrityError` naming the file and each key that is unknown, missing or wrong."""
    value = read_json(path)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'record'}: {item['msg']}" for item in error.errors()
        )
        raise IntegrityError(f"'{path}' is no valid {kind.__name__}: {problems}.") from None


@contextmanager
def lock(path: Path, *, holder: str, timeout_s: float = 0.0) -> Iterator[None]:
    """Holds the lock file `path`; the system frees it when this process dies, however it dies.

    Raises `StateError` with `holder` (what the lock protects, in words) if another process holds it after `timeout_s`.
    """
    # Slow to import, and most processes lock nothing: a server starts without it.
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    file_lock = FileLock(path)
    try:
        file_lock.acquire(timeout=timeout_s)
    except Timeout:
        raise StateError(f"{holder} is in use by another process (lock '{path}').") from None
    try:
        yield
    finally:
        file_lock.release()


def is_locked(path: Path) -> bool:
    """True while some process holds the lock file `path`."""
    if not path.exists():
        return False
    from filelock import FileLock, Timeout

    probe = FileLock(path)
    try:
        probe.acquire(timeout=0)
    except Timeout:
        return True
    probe.release()
    return False


def _temporary(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")


def _name(error: OSError, path: Path) -> None:
    # A failed write (a full disk) names no file, but whoever reads the error asks which disk it was.
    if error.filename is None:
        error.filename = str(path)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    # Renames are durable only once their folder is; Windows has no such call and needs none.
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
