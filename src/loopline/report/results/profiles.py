"""Profiles that lie in a project: dumps of cProfile, and traces of PyTorch's profiler."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from loopline.report.evidence import Sentence, number
from loopline.report.results.marshalled import NotPlain, read_marshalled

_DUMPS = (".prof", ".pstats", ".profile", ".cprofile", ".pstat")
_TRACE = re.compile(r"(?:\.pt\.trace|trace[\w-]*)\.json(?:\.gz)?$", re.I)
_MAX_BYTES = 48 << 20
_MAX_FILES = 4
_MAX_NAMED = 3
# A dictionary at the start, with or without the bit that keeps it for reference.
_DICTIONARY = (ord("{"), ord("{") | 0x80)


def profile_sentences(root: Path, files: Iterable[Path]) -> list[Sentence]:
    """What the newest profiles among a project's files say: how long, how many calls, and where the time went."""
    fitting = [path for path in files if path.suffix.lower() in _DUMPS or _TRACE.search(path.name)]
    found = []
    for path in sorted(fitting, key=lambda path: -path.stat().st_mtime):
        sentence = _of_dump(path) if path.suffix.lower() in _DUMPS else _of_trace(path)
        if sentence:
            found.append(Sentence(sentence, (path.relative_to(root).as_posix(),)))
        if len(found) == _MAX_FILES:
            break
    return found


def _of_dump(path: Path) -> str:
    data = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
    if not data or data[0] not in _DICTIONARY:
        return ""
    try:
        rows = list(_functions(read_marshalled(data)))
    except NotPlain:
        return ""
    total_s = sum(own_s for _, _, own_s in rows)
    if not total_s > 0:
        return ""
    num_calls = sum(calls for _, calls, _ in rows)
    own_s: dict[str, float] = defaultdict(float)
    for name, _, seconds in rows:
        own_s[name] += seconds
    return (
        f"A profile by cProfile covers {total_s:.3g} s and {number(num_calls, 'call')};"
        f" most time of their own took {_shares(own_s)}."
    )


def _functions(stats: Any) -> Iterator[tuple[str, int, float]]:
    """Per function its name, calls and own seconds: `(file, line, name)` to `(_, calls, own, cumulative, callers)`."""
    if not isinstance(stats, dict):
        raise NotPlain("no dictionary of functions")
    for key, row in stats.items():
        match key, row:
            case (str(file), int(line), str(name)), (int(), int(calls), int() | float() as own_s, _, _):
                # Functions that are built in have no file.
                place = "" if file in ("~", "") else f"{PureWindowsPath(file).name}:{line} "
                yield f"{place}{name.strip('<>')}", calls, float(own_s)
            case _:
                raise NotPlain("no statistics of a function")


def _of_trace(path: Path) -> str:
    events = _events(path)
    own_us = _own_times(event for event in events if event.get("cat") == "cpu_op")
    on_gpu_us: dict[str, float] = defaultdict(float)
    for event in events:
        if event.get("cat") == "kernel":
            on_gpu_us[str(event["name"])] += event["dur"]
    if not sum(own_us.values()) > 0:
        return ""
    num_operators = sum(1 for event in events if event.get("cat") == "cpu_op")
    text = (
        f"A trace of PyTorch's profiler has {number(num_operators, 'operator')} in {sum(own_us.values()) / 1e6:.3g} s;"
        f" most time of their own took {_shares(own_us)}"
    )
    gpu = f", and on the GPU {_shares(on_gpu_us)}" if sum(on_gpu_us.values()) > 0 else ""
    return f"{text}{gpu}."


def _events(path: Path) -> list[Mapping[str, Any]]:
    """The events of a Chrome trace that last for some time; none where the file is no such trace."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        events = json.loads(data)["traceEvents"] if len(data) <= _MAX_BYTES else []
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [
        event
        for event in (events if isinstance(events, list) else [])
        if isinstance(event, dict) and event.get("ph") == "X"
        if all(isinstance(event.get(key), int | float) for key in ("ts", "dur")) and "name" in event
    ]


def _own_times(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Microseconds by name, without those of what ran inside; on one thread, events contain each other or are apart."""
    by_thread: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        by_thread[str(event.get("pid")), str(event.get("tid"))].append(event)
    own: dict[str, float] = defaultdict(float)
    for thread in by_thread.values():
        around: list[Mapping[str, Any]] = []
        for event in sorted(thread, key=lambda event: (event["ts"], -event["dur"])):
            while around and around[-1]["ts"] + around[-1]["dur"] <= event["ts"]:
                around.pop()
            if around:
                own[str(around[-1]["name"])] -= event["dur"]
            own[str(event["name"])] += event["dur"]
            around.append(event)
    return own


def _shares(own: Mapping[str, float]) -> str:
    """The names with the most, each with its share of all."""
    total = sum(own.values())
    largest = sorted(own.items(), key=lambda item: -item[1])[:_MAX_NAMED]
    return ", ".join(f"`{name[:60]}` ({100 * value / total:.0f}%)" for name, value in largest)
