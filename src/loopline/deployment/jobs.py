"""Jobs as they are remembered on this machine, and followed until their runs are home."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from loopline.core.errors import StateError, UnknownName
from loopline.core.records import CloudJob, utc_now
from loopline.core.store import read_record, write_record
from loopline.core.workspace import Workspace
from loopline.deployment.job_places import open_job_place
from loopline.deployment.order import Tools
from loopline.deployment.working import read_state, write_job
from loopline.storage import open_place, pull_folder

_RECORD = "job.json"
_ENDED = ("completed", "failed", "stopped")


def list_jobs(workspace: Workspace) -> list[CloudJob]:
    """Every job that was submitted from here, newest first, as it was last seen."""
    found = [read_record(CloudJob, path) for path in workspace.jobs.glob(f"*/{_RECORD}")]
    return sorted(found, key=lambda job: job.submitted_at, reverse=True)


def find_job(job_id: str, workspace: Workspace) -> CloudJob:
    """The job of an id; raises `UnknownName`."""
    known = {job.job_id: job for job in list_jobs(workspace)}
    if job_id not in known:
        raise UnknownName("job", job_id, known, next_command="loopline job list")
    return known[job_id]


def submit(job: CloudJob, workspace: Workspace, tools: Tools) -> CloudJob:
    """Writes what is asked to the job's URL and starts it; returns the job with the cloud's name of it."""
    write_job(open_place(job.url), job)
    started = job.model_copy(update={"resource": open_job_place(job.place).submit(job, tools), "status": "submitted"})
    return _remember(started, workspace)


def follow(job: CloudJob, workspace: Workspace, tools: Tools) -> CloudJob:
    """Waits for a job to end, showing what it says; brings its runs home. A spot machine that went is replaced.

    Raises `StateError` where it failed, with what it said. Whoever stops following stops nothing: the job goes on.
    """
    place, last = open_job_place(job.place), ""
    tools = replace(tools, patience_s=job.settings.job.max_hours * 3600 * (job.settings.job.max_restarts + 1) + 3600)
    waited_s = 0.0
    while True:
        seen = look(job, workspace, tools)
        lines = list(place.logs(seen, tools)) if seen.status != "submitted" else []
        for line in _after(last, lines):
            tools.say(line)
        last = lines[-1] if lines else last
        if seen.status in _ENDED:
            return _home(seen, workspace, tools)
        if waited_s > tools.patience_s:
            raise StateError(f"job '{job.job_id}' did not end in time.", next_command=f"loopline job stop {job.job_id}")
        job = seen
        tools.sleep(tools.poll_s)
        waited_s += tools.poll_s


def _after(last: str, lines: Sequence[str]) -> Sequence[str]:
    """The lines after the one that was shown last; all where it is none of them, for places keep the newest only."""
    if last not in lines:
        return lines
    return lines[len(lines) - list(reversed(lines)).index(last) :]


def look(job: CloudJob, workspace: Workspace, tools: Tools) -> CloudJob:
    """The job as it is now, by its own word or else by the cloud's; a spot machine that went is replaced."""
    place = open_job_place(job.place)
    own, outside = read_state(open_place(job.url)), place.state(job, tools)
    changes: dict[str, Any] = {}
    if own is not None and own.status in ("completed", "failed"):
        changes = {"status": own.status, "run_id": own.run_id, "error": own.error, "ended_at": own.written_at}
    elif outside == "gone" and job.settings.job.spot and job.num_restarts < job.settings.job.max_restarts:
        tools.say(
            f"the machine was taken away; starting another ({job.num_restarts + 1} of {job.settings.job.max_restarts})"
        )
        again = job.model_copy(update={"num_restarts": job.num_restarts + 1})
        changes = {"num_restarts": again.num_restarts, "resource": place.submit(again, tools), "status": "submitted"}
    elif outside in ("gone", *_ENDED):
        said = own.error if own is not None else None
        status = "failed" if outside in ("gone", "completed") else outside
        changes = {"status": status, "error": said or f"it is {outside}, and left no word", "ended_at": utc_now()}
    else:
        changes = {"status": outside}
    return _remember(job.model_copy(update=changes), workspace)


def stop(job: CloudJob, workspace: Workspace, tools: Tools) -> CloudJob:
    """Ends a job, so that it costs nothing any more; its runs stay in the bucket."""
    open_job_place(job.place).stop(job, tools)
    return _remember(job.model_copy(update={"status": "stopped", "ended_at": utc_now()}), workspace)


def _home(job: CloudJob, workspace: Workspace, tools: Tools) -> CloudJob:
    """Fetches the runs of a job that ended and takes away what may still run."""
    open_job_place(job.place).stop(job, tools)
    if job.run_id is not None:
        fetched = pull_folder(open_place(job.url).folder("runs"), workspace.runs)
        tools.say(f"run {job.run_id} is home: {fetched.num_files} files, {fetched.num_bytes / 1e6:.1f} MB")
    if job.status == "failed":
        raise StateError(f"job '{job.job_id}' failed: {job.error}", next_command=f"loopline job logs {job.job_id}")
    return job


def _remember(job: CloudJob, workspace: Workspace) -> CloudJob:
    write_record(workspace.jobs / job.job_id / _RECORD, job)
    return job
