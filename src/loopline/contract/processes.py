"""What Linux tells of a running process and its children: memory, sockets, user. Elsewhere the answers are None."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_LISTENING = "0A"  # TCP_LISTEN in include/net/tcp_states.h
_KIB = 1024


def can_look() -> bool:
    """Whether this system has the files that the other functions read."""
    return (_PROC / "self" / "status").is_file()


def tree(pid: int) -> list[int]:
    """The process and everything that it started and that still runs."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        text = _read(_PROC / str(each) / "task" / str(each) / "children")
        waiting += map(int, text.split())
    return found


def memory_bytes(pid: int) -> tuple[int, int]:
    """What the process and its children hold now, and the sum of the most that each of them ever held."""
    now = most = 0
    for each in tree(pid):
        status = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", _read(_PROC / str(each) / "status"), re.MULTILINE))
        now += int(status.get("VmRSS", 0)) * _KIB
        most += int(status.get("VmHWM", 0)) * _KIB
    return now, most


def folder_bytes(pid: int, folder: str) -> int:
    """How much a folder that is a file system of its own holds, as the process sees it."""
    try:
        found = os.statvfs(f"/proc/{pid}/root{folder}")
    except OSError:
        return 0
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def listening(pid: int) -> list[tuple[bool, int]]:
    """The TCP ports on which the process or its children listen, each with whether other machines can reach it."""
    inodes = {inode for each in tree(pid) for inode in _sockets(each)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in _read(_PROC / str(pid) / "net" / table).splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].rpartition(":")
            if fields[3] == _LISTENING and fields[9] in inodes:
                found.add((set(address) == {"0"}, int(port, 16)))
    return sorted(found)


def user_id(pid: int) -> int | None:
    """The user that the process runs as, in the eyes of its own container."""
    uid = re.search(r"^Uid:\s+(\d+)", _read(_PROC / str(pid) / "status"), re.MULTILINE)
    if uid is None:
        return None
    for line in _read(_PROC / str(pid) / "uid_map").splitlines():
        inside, outside, length = map(int, line.split())
        if outside <= int(uid[1]) < outside + length:
            return inside + int(uid[1]) - outside
    return int(uid[1])


def _sockets(pid: int) -> Iterator[str]:
    try:
        links = [str(entry.readlink()) for entry in (_PROC / str(pid) / "fd").iterdir()]
    except OSError:
        return
    yield from (match[1] for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", link)))


def _read(path: Path) -> str:
    """A file of /proc, or nothing where the process is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
