"""Memory while a command runs: the most that it held, and an end when it holds more than it may."""

from __future__ import annotations

import threading

from loopline.contract import processes
from loopline.contract.isolation import Running

_INTERVAL_S = 0.02


class Meter:
    """Watches a command from a thread; what lies in folders of memory counts where the contract says so."""

    def __init__(self, running: Running, *, limit_bytes: int | None, counts_folders: bool) -> None:
        self._running = running
        self._limit_bytes = limit_bytes
        self._counts_folders = counts_folders
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_bytes = 0
        self.peak_folder_bytes = 0
        # Whether the command was ended, as the platform would.
        self.killed = False

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        # On systems without /proc there is nothing to read.
        while processes.can_look() and not self._stopped.wait(_INTERVAL_S):
            now, most = processes.memory_bytes(self._running.pid)
            folders = sum(processes.folder_bytes(self._running.pid, folder) for folder in self._running.memory_folders)
            self.peak_folder_bytes = max(self.peak_folder_bytes, folders)
            counted = folders if self._counts_folders else 0
            # The kernel keeps each process's own peak, so that none falls between two looks.
            self.peak_bytes = max(self.peak_bytes, now + counted, most + counted)
            if self._limit_bytes is not None and self.peak_bytes > self._limit_bytes and not self.killed:
                self.killed = True
                self._running.process.kill()
