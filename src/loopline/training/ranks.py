"""Several processes that train one network: each computes a share of every batch, and their gradients are averaged.

The process that holds the run is rank 0: it alone writes. The others (`loopline.training.rank`) are started by it, find
the run by its folder, and end with it. Source: Li et al., PyTorch Distributed, 2020, by Lightning's `DDPStrategy`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import torch

from loopline.core.errors import StateError
from loopline.core.workspace import Workspace

# What a rank says on its standard output once it has opened everything.
READY = b"ready\n"
_HOST = "127.0.0.1"
# Between the end of rank 0 and that of the others.
_END_TIMEOUT_S = 60.0


class _Rank(NamedTuple):
    number: int
    process: subprocess.Popen[bytes]
    # A file and not a pipe: nobody reads along, and a full pipe would stop the rank.
    errors: IO[bytes]

    def failure(self) -> StateError:
        """What became of a rank that ended early, with its last words."""
        code = self.process.wait()
        self.errors.seek(0)
        words = self.errors.read().decode(errors="replace").strip()[-500:]
        return StateError(f"rank {self.number} of the training ended with code {code}: {words}")


@contextmanager
def other_ranks(folder: Path, workspace: Workspace, num_ranks: int) -> Iterator[None]:
    """Starts all ranks but the first, which this process becomes as long as the context lasts.

    Raises `StateError` with the last words of one that cannot begin, or ends in the middle.
    """
    if num_ranks == 1:
        yield
        return
    rendezvous = {"MASTER_ADDR": _HOST, "MASTER_PORT": str(_free_port()), "NODE_RANK": "0"}
    num_threads = torch.get_num_threads()
    with ExitStack() as stack, _environment({**rendezvous, "LOCAL_RANK": "0"}):
        ranks = [stack.enter_context(_started(rank, num_ranks, folder, workspace)) for rank in range(1, num_ranks)]
        for rank in ranks:
            # Before this process waits for it where no one can tell it that the rank is gone.
            # Libraries may print before it does.
            if READY not in iter(rank.process.stdout or ()):
                raise rank.failure()
        share_cores(num_ranks)
        try:
            yield
        except RuntimeError as error:
            # What the others say when one of them is gone.
            gone = next((rank for rank in ranks if rank.process.poll()), None)
            raise (gone.failure() if gone else error) from error
        finally:
            torch.set_num_threads(num_threads)
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
        for rank in ranks:
            rank.process.wait(_END_TIMEOUT_S)


@contextmanager
def _started(number: int, num_ranks: int, folder: Path, workspace: Workspace) -> Iterator[_Rank]:
    # -P: no file of the folder that we happen to stand in, say a profile.py, takes the place of a module.
    command = [sys.executable, "-P", "-m", "loopline.training.rank", str(workspace.root), folder.name, str(num_ranks)]
    environment = {**os.environ, "LOCAL_RANK": str(number)}
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors) as process,  # noqa: S603 - us
    ):
        try:
            yield _Rank(number, process, errors)
        finally:
            process.kill()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((_HOST, 0))
        return int(listener.getsockname()[1])


def share_cores(num_ranks: int) -> None:
    """As many threads in all as one process would have taken: more of them wait for each other."""
    torch.set_num_threads(max(1, torch.get_num_threads() // num_ranks))
