"""What a machine in a cloud does for a job: fetch the data, train, send home what it has, stop by itself.

URL of a job:
  job.json     what was asked (`CloudJob`)
  runs/        the runs as far as they are, sent every minute and at the end
  state.json   how it goes (`JobState`)

A machine that is taken away leaves all but the last minute in the bucket; the next one finds it there and goes on from
the checkpoint.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from loopline.core.errors import StateError
from loopline.core.records import CloudJob, Run, utc_now
from loopline.core.records.deployment import JobState, JobStatus
from loopline.core.store import canonical_json
from loopline.core.workspace import Workspace
from loopline.runs import list_runs
from loopline.storage import Place, open_place, pull_folder, push_folder, read_listing

JOB_FILE, STATE_FILE = "job.json", "state.json"
_POLL_S, _SEND_S = 1.0, 60.0
# A machine that is taken away has half a minute; training needs some of it for its last checkpoint.
_LAST_WORDS_S = 20.0


@dataclass(frozen=True)
class Pace:
    """How often is looked and sent, and how long a training has for its last checkpoint; seconds."""

    poll_s: float = _POLL_S
    send_s: float = _SEND_S
    last_words_s: float = _LAST_WORDS_S


def work(url: str, overrides: Sequence[str], *, workspace: Workspace, pace: Pace | None = None) -> JobState:
    """Trains what `overrides` describe for the job at `url`, or goes on with it; returns how it ended.

    Writes data and runs into the workspace, runs and state to the job's URL. Stops the training at the job's longest
    time, and when neither a metric nor a checkpoint came for its longest idle time. Raises `StateError` where no job
    lies at `url`.
    """
    pace, place = pace or Pace(), open_place(url)
    job = read_job(place)
    pull_folder(open_place(data_url(job)), workspace.data / job.dataset)
    begun = _pull_runs(place, workspace)
    write_state(place, "running", run_id=None if begun is None else begun.run_id)
    if begun is not None and begun.status == "completed":
        return write_state(place, "completed", run_id=begun.run_id)
    words = ["train", *overrides] if begun is None else ["train", "--resume", begun.run_id]
    command = [sys.executable, "-P", "-m", "loopline", f"--home={workspace.root}", *words]
    with subprocess.Popen(command) as process, _told_to_stop() as told:  # noqa: S603 - our own interpreter, a user's overrides
        why = _watch(process, told, lambda: _send_runs(workspace, place), job=job, workspace=workspace, pace=pace)
    _send_runs(workspace, place)
    return _ended(place, workspace, code=process.returncode, why=why)


def read_job(place: Place) -> CloudJob:
    """What was asked of the machine; raises `StateError` where nothing was."""
    data = place.read(JOB_FILE)
    if data is None:
        raise StateError(f"there is no job at {place.url}.", next_command="loopline job list")
    return CloudJob.model_validate_json(data)


def write_job(place: Place, job: CloudJob) -> None:
    """Says what is asked."""
    place.write(JOB_FILE, canonical_json(job.model_dump(mode="json")))


def read_state(place: Place) -> JobState | None:
    """How it goes, or None where no machine began yet."""
    data = place.read(STATE_FILE)
    return None if data is None else JobState.model_validate_json(data)


def write_state(place: Place, status: JobStatus, *, run_id: str | None = None, error: str | None = None) -> JobState:
    """Says how it goes."""
    state = JobState(status=status, run_id=run_id, error=error, written_at=utc_now())
    place.write(STATE_FILE, canonical_json(state.model_dump(mode="json")))
    return state


def data_url(job: CloudJob) -> str:
    """Where the snapshot lies: beside the jobs, so that it is sent once for all of them."""
    return f"{job.url.rpartition('/jobs/')[0]}/data/{job.dataset}"


def _watch(
    process: subprocess.Popen[bytes],
    told: threading.Event,
    send: Callable[[], None],
    *,
    job: CloudJob,
    workspace: Workspace,
    pace: Pace,
) -> str | None:
    """Waits for the training, sending meanwhile; returns why it was stopped, or None where it ended by itself."""
    limits = job.settings.job
    begun_s = sent_s = time.monotonic()
    while process.poll() is None:
        now_s = time.monotonic()
        why = None
        if told.wait(pace.poll_s):
            why = "the machine is taken away"
        elif now_s - begun_s > limits.max_hours * 3600:
            why = f"it took all of its {limits.max_hours:g} hours"
        elif time.time() - _last_change(workspace) > limits.max_idle_minutes * 60 and now_s - begun_s > (
            limits.max_idle_minutes * 60
        ):
            why = f"nothing came of it for {limits.max_idle_minutes:g} minutes"
        if why is not None:
            process.terminate()
            try:
                process.wait(pace.last_words_s)
            except subprocess.TimeoutExpired:
                process.kill()
            return why
        if now_s - sent_s > pace.send_s:
            send()
            sent_s = now_s
    return None


def _ended(place: Place, workspace: Workspace, *, code: int, why: str | None) -> JobState:
    run = next(iter(list_runs(workspace)), None)
    run_id = None if run is None else run.run_id
    if run is not None and run.status == "completed":
        return write_state(place, "completed", run_id=run_id)
    if why == "the machine is taken away":
        # Whoever follows the job starts another machine, or Vertex does.
        return write_state(place, "stopped", run_id=run_id, error=why)
    said = why or (run.error if run is not None else None) or f"training ended with exit code {code}"
    return write_state(place, "failed", run_id=run_id, error=said)


def _pull_runs(place: Place, workspace: Workspace) -> Run | None:
    """The job's run as an earlier machine left it, or None where none did."""
    runs = place.folder("runs")
    if not runs.sizes() or not read_listing(runs).complete:
        return None
    pull_folder(runs, workspace.runs)
    return next(iter(list_runs(workspace)), None)


def _send_runs(workspace: Workspace, place: Place) -> None:
    """Sends the runs as they are at one moment: of a copy, for training goes on writing."""
    if not workspace.runs.is_dir():
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "runs"
        shutil.copytree(workspace.runs, copy, ignore=shutil.ignore_patterns(".*", "*.lock"))
        push_folder(copy, place.folder("runs"))


def _last_change(workspace: Workspace) -> float:
    """When anything of a run was written last, as a Unix time; 0 where nothing was."""
    times = [path.stat().st_mtime for path in workspace.runs.rglob("*") if path.is_file()]
    return max(times, default=0.0)


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, as platforms send before they take a machine away."""
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield told
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        told.set()

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)
