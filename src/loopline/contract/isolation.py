"""A command started as a platform would start it: read-only, with a scrubbed environment, a network of its own.

Bubblewrap (the sandbox of Flatpak) gives all of that to any user on Linux: a root made of a folder or of this machine's
own, nothing writable but what the contract says, no network but its own loopback, so no metadata server either, and the
command as process 1, which a signal ends only if it listens to it. Without Bubblewrap the command is an ordinary
process with a scrubbed environment, and what could not be looked at is said.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from loopline.contract import relay
from loopline.core.records import Contract
from loopline.core.records.contract import MIB

USER_ID = 10001
# Of a root file system, what the sandbox brings itself.
_OWN = {"dev", "lost+found", "proc", "run", "sys", "tmp"}
_START_S = 10.0


@dataclass(frozen=True)
class Subject:
    """What is run: a command, the environment that its image declares, and the root that it sees.

    `root` is an image's unpacked file system, or None for this machine's own. By the path that the command sees,
    `visible` are folders of this machine that it may read, `folders` those that it may write.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    root: Path | None = None
    visible: Mapping[str, Path] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    working_folder: str = "/"
    # Uncompressed, of an image.
    image_bytes: int | None = None


@dataclass
class Running:
    """A started command: the process that was started here, and its first process inside."""

    isolation: str
    process: subprocess.Popen[bytes]
    pid: int
    log: Path
    # Folders inside the sandbox that are file systems in memory.
    memory_folders: tuple[str, ...]
    # The helper inside the command's network, and the socket to it; None where the network is this machine's.
    _helper: subprocess.Popen[bytes] | None = None
    _channel: socket.socket | None = None
    # One question to the helper at a time.
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def end(self) -> None:
        """Ends whatever still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._channel is not None and self._helper is not None:
            # The helper ends with its socket's other end.
            self._channel.close()
            self._helper.wait()

    def connect(self, port: int) -> socket.socket:
        """A connection to a port of the command's own network; raises `ConnectionRefusedError`."""
        if self._channel is None:
            return socket.create_connection(("127.0.0.1", port), timeout=_START_S)
        with self._turn:
            self._channel.sendall(port.to_bytes(2))
            answer, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
        if answer != b"+":
            raise ConnectionRefusedError(f"nothing listens on port {port}")
        return socket.socket(fileno=descriptors[0])

    def last_lines(self, num_lines: int = 30) -> list[str]:
        """The end of what the command wrote."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-num_lines:]


def isolation_here() -> str:
    """`bubblewrap` where it works on this machine, else `process`."""
    program = shutil.which("bwrap")
    if program is None or sys.platform != "linux":
        return "process"
    probe = [program, "--unshare-user", "--unshare-net", "--unshare-pid", "--ro-bind", "/", "/", "true"]
    works = subprocess.run(probe, capture_output=True, check=False).returncode == 0  # noqa: S603 - fixed words
    return "bubblewrap" if works else "process"


@contextmanager
def started(
    subject: Subject, contract: Contract, environment: Mapping[str, str], *, isolation: str
) -> Iterator[Running]:
    """Starts the command and ends it, whatever happens in between; `environment` is all that it sees."""
    with tempfile.TemporaryDirectory(prefix="loopline-contract-") as scratch:
        log = Path(scratch) / "log"
        with log.open("wb") as output:
            if isolation == "bubblewrap":
                running = _sandboxed(subject, contract, environment, output)
            else:
                running = _plain(subject, contract, environment, output)
        try:
            yield running
        finally:
            running.end()


def _plain(subject: Subject, contract: Contract, environment: Mapping[str, str], output: IO[bytes]) -> Running:
    scratch = str(Path(output.name).parent)
    own = {"PATH": os.environ.get("PATH", ""), "TMPDIR": scratch, "HOME": scratch}
    process = subprocess.Popen(  # noqa: S603 - what the caller asked to run
        [*_on_cores(contract), *subject.command],
        env={**own, **environment},
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=scratch,
    )
    return Running("process", process, process.pid, Path(output.name), ())


def _sandboxed(subject: Subject, contract: Contract, environment: Mapping[str, str], output: IO[bytes]) -> Running:
    told, tells = os.pipe()
    words = [*_on_cores(contract), *_as_user(subject), "bwrap", "--info-fd", str(tells), *_view(subject, contract)]
    variables = [word for name, value in environment.items() for word in ("--setenv", name, value)]
    process = subprocess.Popen(  # noqa: S603 - what the caller asked to run
        [*words, "--clearenv", *variables, "--", *subject.command],
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=[tells],
    )
    os.close(tells)
    with os.fdopen(told, encoding="utf-8") as file:
        text = file.read()
    pid = json.loads(text)["child-pid"] if text else process.pid
    in_memory = tuple(folder for folder in contract.disk.writable if folder not in subject.folders)
    return Running("bubblewrap", process, pid, Path(output.name), in_memory, *_relay(pid))


def _on_cores(contract: Contract) -> list[str]:
    """No more cores than the platform gives: servers start a process for each that they see."""
    program = shutil.which("taskset")
    if program is None or sys.platform != "linux":
        return []
    cores = sorted(os.sched_getaffinity(0))[: math.ceil(contract.num_cpus)]
    return [program, "--cpu-list", ",".join(map(str, cores))]


def _as_user(subject: Subject) -> list[str]:
    """Root becomes another user for an image's file system; this machine's own may be readable for root alone."""
    if subject.root is None or os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups"]


def _view(subject: Subject, contract: Contract) -> list[str]:
    """Bubblewrap's words for what the command sees of disk, processes and network."""
    root = subject.root or Path("/")
    words = ["--unshare-user", "--uid", str(USER_ID), "--gid", str(USER_ID)]
    words += ["--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--die-with-parent"]
    for entry in sorted(root.iterdir()):
        if entry.name in _OWN:
            continue
        if entry.is_symlink():
            words += ["--symlink", str(entry.readlink()), f"/{entry.name}"]
        else:
            words += ["--ro-bind", str(entry), f"/{entry.name}"]
    words += ["--proc", "/proc", "--dev", "/dev", "--dir", "/run"]
    size = (contract.disk.limit_mib or contract.memory.sizes_mib[-1]) * MIB
    for folder in contract.disk.writable:
        if folder not in subject.folders:
            words += ["--perms", "1777", "--size", str(size), "--tmpfs", folder]
    for folder, place in subject.folders.items():
        words += ["--bind", str(place), folder]
    for folder, place in subject.visible.items():
        words += ["--ro-bind", str(place), folder]
    return [*words, "--chdir", subject.working_folder, "--remount-ro", "/"]


def _relay(pid: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A helper inside the network of a process, and the socket to it."""
    here, there = socket.socketpair()
    enter = ["nsenter", "--target", str(pid), "--user", "--preserve-credentials", "--net"]
    script = [sys.executable, "-I", "-S", str(Path(relay.__file__)), str(there.fileno())]
    with there:
        helper = subprocess.Popen(  # noqa: S603 - our own script
            [*enter, *script], pass_fds=[there.fileno()], stderr=subprocess.DEVNULL
        )
    return helper, here
