"""Weights & Biases runs from the files that lie in a project, without network and without a login.

A run's folder, `wandb/run-TIME-ID` or `wandb/offline-run-TIME-ID`, holds a log `run-ID.wandb` of everything, and, once
it was synchronised, the last values and the configuration as text under `files`. The log is LevelDB's format of logs
(https://github.com/google/leveldb/blob/main/doc/log_format.md) with a header of its own and plain CRC-32; its records
are protocol buffers that the package `wandb` describes. Without that package the texts are read.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from loopline.core.errors import MissingExtra
from loopline.report.results.tracked_run import TrackedRun, curves_of
from loopline.repository.configs import ConfigProblem, parse_config
from loopline.runs import flat

_FOLDER = re.compile(r"(?:offline-)?run-(\d{8}_\d{6})-(\w{1,64})")
_BLOCK_BYTES = 1 << 15
_HEADER = struct.Struct("<IHB")
_FILE_HEADER_BYTES = 7
# Kinds of fragments: a whole record, a middle or the last piece of one; any other begins one.
_WHOLE, _MIDDLE, _LAST = 1, 3, 4
_MAX_LOG_BYTES = 256 << 20
_MAX_TEXT_BYTES = 4 << 20


def newest_wandb_run(root: Path, files: Iterable[Path]) -> TrackedRun | None:
    """The newest W&B run among a project's files that has a curve, else the newest with last values; None without one.

    `files` are paths below `root`. A log that ends in the middle, as of a process that was killed, is read until there.
    """
    logs: dict[Path, Path | None] = {}
    for path in files:
        if path.suffix == ".wandb" and _FOLDER.fullmatch(path.parent.name):
            logs[path.parent] = path
        elif path.parent.name == "files" and _FOLDER.fullmatch(path.parent.parent.name):
            logs.setdefault(path.parent.parent, None)
    without_curves = None
    for folder in sorted(logs, key=_started, reverse=True):
        run = _from_log(logs[folder], root) or _from_texts(folder, root)
        if run is not None and any(len(steps) > 1 for steps, _ in run.curves.values()):
            return run
        without_curves = without_curves or run
    return without_curves


def _started(folder: Path) -> tuple[str, str]:
    match = _FOLDER.fullmatch(folder.name)
    return (match[1], match[2]) if match else ("", "")


def _from_texts(folder: Path, root: Path) -> TrackedRun | None:
    """A run from the texts of its last values and its configuration, which hold no steps."""
    summary = _parsed(folder / "files" / "wandb-summary.json")
    config = _parsed(folder / "files" / "config.yaml")
    last = _numbers(summary)
    if not last:
        return None
    settings = {key: entry["value"] for key, entry in config.items() if isinstance(entry, Mapping) and "value" in entry}
    source = (folder / "files" / "wandb-summary.json").relative_to(root).as_posix()
    return TrackedRun(source, _started(folder)[1], last=last, settings=_plain(settings))


def _parsed(path: Path) -> Mapping[str, Any]:
    """A JSON or YAML file's mapping; an empty one for what is none."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_TEXT_BYTES:
        return {}
    try:
        config = parse_config(path.name, path.read_text(encoding="utf-8", errors="replace"))
    except (ConfigProblem, MissingExtra):
        return {}
    return config.value if config is not None and isinstance(config.value, Mapping) else {}


def _from_log(path: Path | None, root: Path) -> TrackedRun | None:
    """A run from its log, where the package that describes the records is installed."""
    if path is None or not 0 < path.stat().st_size <= _MAX_LOG_BYTES:
        return None
    try:
        from google.protobuf.message import DecodeError
        from wandb.proto import wandb_internal_pb2
    except ImportError:
        return None
    record_kind: Any = wandb_internal_pb2.Record  # type: ignore[attr-defined]  # made when it is imported
    points: list[tuple[str, float, float]] = []
    last: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    try:
        for data in _log_records(path.read_bytes()):
            record = record_kind.FromString(data)
            settings |= _items([*record.run.config.update, *record.config.update])
            last |= _items(record.summary.update)
            row = _numbers(_items(record.history.item), private=True)
            step = row.pop("_step", float(record.history.step.num))
            points += [(name, step, value) for name, value in row.items() if not name.startswith("_")]
    except DecodeError:  # a log of a time that this package does not know; what was read stands
        pass
    if not points and not last:
        return None
    source = path.relative_to(root).as_posix()
    return TrackedRun(source, path.stem.removeprefix("run-"), curves_of(points), _numbers(last), _plain(settings))


def _log_records(data: bytes) -> Iterator[bytes]:
    """The records of a log until its end, or until the first that is damaged."""
    place, parts = _FILE_HEADER_BYTES, b""
    while place + _HEADER.size <= len(data):
        left = _BLOCK_BYTES - place % _BLOCK_BYTES
        if left < _HEADER.size:  # too little for a header: filled up with zeros
            place += left
            continue
        checksum, num_bytes, kind = _HEADER.unpack_from(data, place)
        place += _HEADER.size
        piece = data[place : place + num_bytes]
        place += num_bytes
        if zlib.crc32(piece, zlib.crc32(bytes([kind]))) != checksum:
            return
        parts = parts + piece if kind in (_MIDDLE, _LAST) else piece
        if kind in (_WHOLE, _LAST):
            yield parts


def _items(items: Iterable[Any]) -> dict[str, Any]:
    """Names and values of a record's entries; nested names are joined by dots."""
    found = {}
    for item in items:
        try:
            value = json.loads(item.value_json)
        except (ValueError, RecursionError):
            continue
        found[".".join(item.nested_key) or item.key] = value
    return found


def _numbers(values: Mapping[str, Any], *, private: bool = False) -> dict[str, float]:
    """The finite numbers among nested values, by dotted names; without what W&B keeps for itself."""
    rows = flat(values)
    # A picture or a table is a mapping with a `_type`; its width is no metric.
    media = tuple(name.removesuffix("_type") for name in rows if name.endswith("._type"))
    return {
        name: float(value)
        for name, value in rows.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if (private or not name.startswith("_")) and not name.startswith(media)
    }


def _plain(values: Mapping[str, Any]) -> dict[str, object]:
    return {
        name: value
        for name, value in flat(values).items()
        if isinstance(value, str | int | float) and not name.startswith("_")
    }
