"""Processors, memory, files, clock, folders and ports."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import loopline
from loopline.core.workspace import Workspace
from loopline.doctor.check import Check, ok, problem, warning

LEAST_MEMORY_GIB = 2.0
LEAST_FREE_GIB = 2.0
# A server holds a socket per open request and a few files.
LEAST_OPEN_FILES = 1024
PORTS = {8000: "loopline serve MODEL --port 8001", 5000: "mlflow ui --port 5001"}


def check_resources() -> list[Check]:
    """How many processors and how much memory may this process use?"""
    num_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory_gib = _memory_gib()
    found = f"{num_cpus} processors" + (f", {memory_gib:.1f} GiB memory" if memory_gib else "")
    if memory_gib is not None and memory_gib < LEAST_MEMORY_GIB:
        return warning("machine", f"{found}, little for training", "loopline train … trainer.batch_size=32")
    return ok("machine", found)


def check_open_files() -> list[Check]:
    """How many files may a process open? macOS allows 256 unless told otherwise."""
    if os.name != "posix":
        return []
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= limit < LEAST_OPEN_FILES:
        return warning("open files", f"at most {limit} per process", f"ulimit -n {4 * LEAST_OPEN_FILES}")
    return ok("open files", f"at most {limit:,} per process" if limit >= 0 else "without limit")


def check_clock() -> list[Check]:
    """Is it later than the time at which Loopline's own files were written? Runs and predictions carry times in UTC."""
    written_at = Path(loopline.__file__).stat().st_mtime
    found = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    if time.time() < written_at - 86_400:
        return warning("clock", f"{found}, earlier than Loopline was installed", "sudo timedatectl set-ntp true")
    return ok("clock", found)


def check_folders(workspace: Workspace) -> list[Check]:
    """Can the workspace, its rooms and the temporary folder be written, and is there space?"""
    rooms = [workspace.data, workspace.runs, workspace.bundles, workspace.artifacts, workspace.cache, workspace.reports]
    checks = _check_folder("workspace", workspace.root, "loopline --home FOLDER …")
    for room in rooms:
        if room.is_dir() and (reason := _refuses(room)):
            checks += problem(f"workspace/{room.name}", f"{room}: {reason}", f"chmod u+rwx '{room}'")
    return checks + _check_folder("temporary folder", Path(tempfile.gettempdir()), "export TMPDIR=FOLDER")


def check_ports() -> list[Check]:
    """Are the ports free on which `loopline serve` and `mlflow ui` listen, or who has them?"""
    checks = []
    for port, otherwise in PORTS.items():
        command = otherwise.partition(" --port")[0]
        with closing(socket.socket()) as probe:
            # As servers do: a port whose last connections are still fading out counts as free.
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
                checks += warning(f"port {port}", f"in use by {_listener(port)}; for {command}", otherwise)
                continue
        checks += ok(f"port {port}", f"free for {command}")
    return checks


def _check_folder(name: str, folder: Path, otherwise: str) -> list[Check]:
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if reason := _refuses(nearest):
        return problem(name, f"{folder}: {reason}", otherwise)
    free_gib = shutil.disk_usage(nearest).free / 2**30
    found = f"{folder}: can be written, {free_gib:.1f} GiB free"
    return warning(name, found, f"df -h '{nearest}'") if free_gib < LEAST_FREE_GIB else ok(name, found)


def _refuses(folder: Path) -> str | None:
    """Why no file can be written into the folder, or None."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".loopline-doctor-") as probe:
            probe.write(b"x" * 4096)
            probe.flush()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _memory_gib() -> float | None:
    """What the machine has, or less where a container is given less; None where the system does not say."""
    limits = []
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    group = Path("/sys/fs/cgroup/memory.max")
    if group.is_file() and (text := group.read_text().strip()).isdecimal():
        limits.append(int(text))
    return min(limits) / 2**30 if limits else None


def _listener(port: int) -> str:
    """Who listens on a port, as far as this user may know and the extra `track` is there to ask."""
    try:
        import psutil
    except ModuleNotFoundError:
        return "another process"
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid and connection.status == "LISTEN":
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        # macOS tells only root.
        pass
    return "another process"
