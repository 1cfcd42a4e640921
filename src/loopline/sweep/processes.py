"""Trials as processes: each is `loopline train`, a run of its own, and outlives a sweep that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from loopline.core import store
from loopline.core.records import Sweep, Trial
from loopline.core.workspace import Workspace
from loopline.runs import RUN_FILE, TRIAL_VARIABLE, metric_history, read_run, run_folder
from loopline.sweep.launching import Progress


class TrialProcesses:
    """Launches trials of a sweep; the cores are shared out among its workers."""

    def __init__(self, sweep: Sweep, workspace: Workspace) -> None:
        self._sweep = sweep
        self._workspace = workspace
        self._logs = workspace.sweeps / sweep.name / "logs"

    def __call__(self, trial: Trial) -> TrialProcess:
        folder = run_folder(trial.run_id, self._workspace)
        log = self._logs / f"{trial.run_id}.txt"
        found = read_run(folder) if (folder / RUN_FILE).exists() else None
        if found is not None and found.status in ("running", "completed", "failed"):
            return TrialProcess(folder, self._sweep.metric, log, None)
        own = () if self._sweep.settings.config_dir is None else ("--config-dir", self._sweep.settings.config_dir)
        begin = (*own, *self._sweep.overrides, *trial.overrides)
        arguments = begin if found is None else ("--resume", trial.run_id)
        home = ("--home", str(self._workspace.root))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - us
                [sys.executable, "-P", "-m", "loopline", *home, "train", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment(trial),
                # Ctrl-C in the terminal is for the sweep, which then asks its trials to stop.
                start_new_session=True,
            )
        store.write_text(_pid_file(log), f"{process.pid}\n")
        return TrialProcess(folder, self._sweep.metric, log, process)

    def environment(self, trial: Trial) -> dict[str, str]:
        """The variables of a trial's process: whose it is, and how many threads it may use."""
        num_threads = max(1, (os.cpu_count() or 1) // self._sweep.settings.num_workers)
        own = {TRIAL_VARIABLE: f"{self._sweep.name}/{trial.number}"}
        return {"OMP_NUM_THREADS": str(num_threads), **os.environ, **own}


class TrialProcess:
    """A trial's process: a child of ours, or (`process` is None) whoever holds the lock of its run."""

    def __init__(self, folder: Path, metric: str, log: Path, process: subprocess.Popen[bytes] | None) -> None:
        self._folder = folder
        self._metric = metric
        self._log = log
        self._process = process

    def progress(self) -> Progress:
        epochs = metric_history(self._folder, self._metric)
        code = None if self._process is None else self._process.poll()
        if self._process is not None and code is None:
            return Progress("running", epochs)
        if not (self._folder / RUN_FILE).exists():
            return Progress("failed", epochs, f"no run began: {self._last_words()}")
        # A child of ours that found the run's lock taken has ended, while whoever took it still computes the trial.
        run = read_run(self._folder)
        # Again, for what was written between the first look and the end.
        epochs = metric_history(self._folder, self._metric)
        end = "is gone" if code is None else f"ended with code {code}"
        error = f"its process {end}." if run.status == "interrupted" else run.error
        return Progress(run.status, epochs, error)

    def stop(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(getattr(signal, "SIGKILL", signal.SIGTERM))

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
        elif store.is_locked(self._folder / "run.lock"):
            # Launched by an earlier process of this sweep; that it holds the lock says that it lives.
            with suppress(ProcessLookupError):
                os.kill(int(_pid_file(self._log).read_text(encoding="utf-8")), number)

    def _last_words(self) -> str:
        lines = (
            self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if self._log.exists() else []
        )
        errors = [line for line in lines if line.startswith("error: ")]
        return (errors or lines or ["its process said nothing."])[-1].removeprefix("error: ")


def _pid_file(log: Path) -> Path:
    return log.with_suffix(".pid")
