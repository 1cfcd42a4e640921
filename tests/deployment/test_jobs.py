"""Trainings elsewhere: what is sent, what the machine does, what comes home; buckets are folders here."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.published import discovery, problems, vendored
from tests.recorded_google import PROJECT, REGION, Reply, Request, google, refusal

from loopline.core.errors import StateError, UnknownName
from loopline.core.records import CloudJob, CloudSettings, utc_now
from loopline.core.workspace import Workspace
from loopline.deployment import Tools
from loopline.deployment.job_places import machine_name, open_job_place, startup_script
from loopline.deployment.jobs import find_job, follow, list_jobs, look, stop, submit
from loopline.deployment.working import Pace, read_state, work, write_job, write_state
from loopline.prices import job_cost, read_prices
from loopline.runs import list_runs
from loopline.storage import open_place, push_folder

INSTANCES = rf"compute\.googleapis\.com/compute/v1/projects/{PROJECT}/zones/{REGION}-b/instances"
JOBS = rf"{REGION}-aiplatform\.googleapis\.com/v1/projects/{PROJECT}/locations/{REGION}/customJobs"


def a_job(url: str, place: str = "vm", **limits: Any) -> CloudJob:
    """A job of three epochs."""
    settings = CloudSettings.model_validate({"project": PROJECT, "bucket": "potato-models", "job": limits})
    return CloudJob.model_validate(
        {
            "job_id": "20261121-120000-ab12",
            "place": place,
            "status": "submitted",
            "overrides": ("recipe=fashion", "trainer.max_epochs=3"),
            "dataset": "fashion",
            "url": url,
            "image": f"{REGION}-docker.pkg.dev/{PROJECT}/loopline/train:1",
            "settings": settings,
            "cost": job_cost(place, settings, read_prices(Workspace.default())),
            "submitted_at": utc_now(),
        }
    )


def test_a_custom_job_is_what_vertex_publishes() -> None:
    """The same overrides, spot with restarts, a longest time, our labels."""
    job = a_job("gs://potato-models/jobs/1", "vertex", accelerator="nvidia-tesla-t4", spot=True, max_hours=2)
    body = open_job_place("vertex").body(job)
    assert problems(body, discovery("aiplatform.v1", "GoogleCloudAiplatformV1CustomJob")) == []
    spec = body["jobSpec"]
    assert spec["scheduling"] == {"timeout": "7200s", "restartJobOnWorkerRestart": True, "strategy": "SPOT"}
    container = spec["workerPoolSpecs"][0]["containerSpec"]
    assert container["args"] == ["recipe=fashion", "trainer.max_epochs=3"]
    assert spec["workerPoolSpecs"][0]["machineSpec"]["acceleratorType"] == "NVIDIA_TESLA_T4"


def test_a_machine_is_what_compute_engine_publishes(tmp_path: Path) -> None:
    """It ends by itself at its longest time, and its script is one that a shell can read."""
    job = a_job("gs://potato-models/jobs/1", accelerator="nvidia-tesla-t4", max_hours=0.5)
    body = open_job_place("vm").body(job)
    assert problems(body, discovery("compute.v1", "Instance")) == []
    assert body["scheduling"]["maxRunDuration"] == {"seconds": "1800"}
    assert body["scheduling"]["instanceTerminationAction"] == "DELETE"
    script = tmp_path / "startup.sh"
    script.write_text(startup_script(job.model_copy(update={"overrides": ("name=it's; rm -rf /",)})))
    subprocess.run(["bash", "-n", str(script)], check=True)
    shown = subprocess.run(
        ["bash", "-c", f"source <(head -6 {script}); printf '%s|' \"${{WORDS[@]}}\""],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "job|work|gs://potato-models/jobs/1|name=it's; rm -rf /|"


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    """The address of a job in a bucket that holds something under the snapshot's name."""
    data = tmp_path / "digits"
    data.mkdir()
    (data / "manifest.json").write_text("{}")
    push_folder(data, open_place(f"file://{tmp_path}/bucket/data/digits"))
    return f"file://{tmp_path}/bucket/jobs/1"


@pytest.fixture
def digits_bucket(tmp_path: Path, digits_folder: Path) -> str:
    """The address of a job in a bucket that holds a small snapshot of digits."""
    from loopline.data import snapshot

    home, url = Workspace(tmp_path / "home"), f"file://{tmp_path}/bucket"
    snapshot(str(digits_folder), name="digits", workspace=home)
    push_folder(home.data / "digits", open_place(f"{url}/data/digits"))
    return f"{url}/jobs/1"


OVERRIDES = (
    "data.name=digits",
    "input.height=16",
    "input.width=16",
    "input.mode=L",
    "model.width=4",
    "optimizer.lr=0.02",
    "trainer.max_epochs=15",
    "trainer.accelerator=cpu",
    "checkpoint.every_n_steps=2",
    "monitor.patience=null",
    "tracking=none",
)
QUICK = Pace(poll_s=0.1, send_s=0.5)


def digits_job(url: str, **limits: Any) -> CloudJob:
    """A job that trains on the digits of the bucket."""
    return a_job(url, **limits).model_copy(update={"dataset": "digits", "overrides": OVERRIDES})


@pytest.mark.slow
@pytest.mark.timeout(900)  # two processes that import torch, one after the other
def test_a_machine_trains_and_sends_home_and_the_next_goes_on(digits_bucket: str, tmp_path: Path) -> None:
    """A real training; the machine is taken away in the middle, and another finishes the same run."""
    bucket = digits_bucket
    place = open_place(bucket)
    write_job(place, digits_job(bucket))
    command = [sys.executable, "-m", "loopline", f"--home={tmp_path}/first", "job", "work", bucket, *OVERRIDES]
    with subprocess.Popen(command) as first:
        while first.poll() is None and not list((tmp_path / "first").rglob("checkpoints/*")):
            time.sleep(0.05)
        first.send_signal(signal.SIGTERM)
    assert first.returncode == 1
    state = read_state(place)
    assert state is not None
    assert (state.status, state.error) == ("stopped", "the machine is taken away")
    second = work(bucket, OVERRIDES, workspace=Workspace(tmp_path / "second"), pace=QUICK)
    assert (second.status, second.run_id) == ("completed", state.run_id)
    run = next(iter(list_runs(Workspace(tmp_path / "second"))))
    assert run.num_resumes == 1
    # It is home: whoever follows the job fetches this.
    assert f"{run.run_id}/run.json" in place.folder("runs").sizes()


def test_a_job_that_does_not_exist(tmp_path: Path) -> None:
    """An empty address, an unknown id."""
    with pytest.raises(StateError, match="there is no job at"):
        work(f"file://{tmp_path}/nothing", (), workspace=Workspace(tmp_path / "w"))
    with pytest.raises(UnknownName, match="job '1' does not exist"):
        find_job("1", Workspace(tmp_path / "w"))


def edge(answers: dict[str, Reply]) -> Tools:
    """Tools whose Google gives these answers."""
    client, _ = google(answers)
    return Tools(google=lambda: client, say=lambda _: None, sleep=lambda _: None)


def test_a_job_is_followed_until_its_run_is_home(tmp_path: Path, workspace: Workspace) -> None:
    """Submitted, seen at work, ended by its own word; the run is here, and the machine is deleted."""
    url = f"file://{tmp_path}/bucket/jobs/1"
    deleted: list[str] = []

    def delete(asked: Request) -> dict[str, Any]:
        deleted.append(asked.path)
        return {}

    tools = edge(
        {
            rf"POST {INSTANCES}": {"name": "operation-1"},
            rf"GET {INSTANCES}/[^/]+": {"status": "RUNNING"},
            rf"GET {INSTANCES}/[^/]+/serialPort": {"contents": "boot\nloopline: epoch 1\n"},
            rf"DELETE {INSTANCES}/[^/]+": delete,
        }
    )
    job = submit(a_job(url), workspace, tools)
    assert job.resource == machine_name(job) == "loopline-20261121-120000-ab12-0"
    assert [each.job_id for each in list_jobs(workspace)] == [job.job_id]
    assert look(job, workspace, tools).status == "running"
    runs = tmp_path / "runs" / "the-run"
    runs.mkdir(parents=True)
    (runs / "run.json").write_text("{}")
    push_folder(runs.parent, open_place(url).folder("runs"))
    write_state(open_place(url), "completed", run_id="the-run")
    done = follow(job, workspace, tools)
    assert (done.status, done.run_id) == ("completed", "the-run")
    assert (workspace.runs / "the-run/run.json").is_file()
    assert len(deleted) == 1


def test_a_spot_machine_that_went_is_replaced_a_few_times(tmp_path: Path, workspace: Workspace) -> None:
    """Up to its number of restarts; then the job has failed."""
    made: list[str] = []

    def make(asked: Request) -> dict[str, Any]:
        made.append(asked.body["name"])
        return {}

    tools = edge(
        {
            rf"POST {INSTANCES}": make,
            rf"GET {INSTANCES}/.+": refusal(404, "NOT_FOUND"),
            rf"DELETE {INSTANCES}/[^/]+": refusal(404, "NOT_FOUND"),
        }
    )
    job = submit(a_job(f"file://{tmp_path}/bucket/jobs/1", spot=True, max_restarts=2), workspace, tools)
    with pytest.raises(StateError, match="job '20261121-120000-ab12' failed: it is gone, and left no word"):
        follow(job, workspace, tools)
    assert [name.rpartition("-")[2] for name in made] == ["0", "1", "2"]


def test_a_vertex_job_is_seen_and_stopped(tmp_path: Path, workspace: Workspace) -> None:
    """Vertex' states, its logs, a cancellation; one that has ended already is no error."""
    name = f"projects/{PROJECT}/locations/{REGION}/customJobs/7"
    states = iter(["JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_FAILED"])
    tools = edge(
        {
            rf"POST {JOBS}": {"name": name},
            rf"GET {JOBS}/7": lambda _: {"name": name, "state": next(states)},
            rf"POST {JOBS}/7:cancel": refusal(400, "FAILED_PRECONDITION"),
            r"POST logging\.googleapis\.com/v2/entries:list": {"entries": [{"textPayload": "epoch 1"}]},
        }
    )
    job = submit(a_job(f"file://{tmp_path}/bucket/jobs/1", "vertex"), workspace, tools)
    assert [look(job, workspace, tools).status for _ in range(3)] == ["submitted", "running", "failed"]
    assert [line.strip() for line in open_job_place("vertex").logs(job, tools)] == ["epoch 1"]
    assert stop(job, workspace, tools).status == "stopped"


def test_a_ray_job_is_started_seen_and_removed(tmp_path: Path, workspace: Workspace) -> None:
    """By kubectl: KubeRay's states, the lines of its submitter, a job that is no more."""
    found = iter(
        [
            json.dumps({"status": {"jobDeploymentStatus": "Initializing"}}),
            json.dumps({"status": {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}}),
            json.dumps(
                {"status": {"jobDeploymentStatus": "Failed", "jobStatus": "RUNNING", "reason": "DeadlineExceeded"}}
            ),
        ]
    )
    lines: list[str] = []

    def run(words: Sequence[str]) -> str:
        lines.append(" ".join(words[2:]))
        return next(found) if words[2] == "get" else "epoch 1\n" if words[2] == "logs" else ""

    edge = Tools(google=lambda: None, run=run, say=lambda _: None, sleep=lambda _: None)  # type: ignore[arg-type, return-value] # nobody asks Google
    job = submit(a_job(f"file://{tmp_path}/bucket/jobs/1", "kubernetes"), workspace, edge)
    assert job.resource == "train-20261121-120000-ab12-0"
    assert problems(open_job_place("kubernetes").body(job), vendored("rayjob")) == []
    assert [look(job, workspace, edge).status for _ in range(3)] == ["submitted", "running", "failed"]
    assert list(open_job_place("kubernetes").logs(job, edge)) == ["epoch 1"]
    assert stop(job, workspace, edge).status == "stopped"
    assert lines[-1] == "delete rayjob/train-20261121-120000-ab12-0 --ignore-not-found"
    found = iter([""])
    assert open_job_place("kubernetes").state(job, edge) == "gone"


def test_lines_of_a_job_are_shown_once(tmp_path: Path, workspace: Workspace) -> None:
    """Places keep the newest lines only: what scrolled away is not shown again, and what came is."""
    url = f"file://{tmp_path}/bucket/jobs/1"
    windows = iter([["1", "2", "3"], ["2", "3", "4"], ["6", "7", "8"], ["8", "9"]])
    said: list[str] = []

    def serial(_: Request) -> dict[str, Any]:
        window = next(windows)
        if window[0] == "6":
            write_state(open_place(url), "completed")
        return {"contents": "".join(f"loopline: {line}\n" for line in window)}

    answers: dict[str, Reply] = {
        rf"POST {INSTANCES}": {},
        rf"GET {INSTANCES}/[^/]+": {"status": "RUNNING"},
        rf"GET {INSTANCES}/[^/]+/serialPort": serial,
        rf"DELETE {INSTANCES}/[^/]+": {},
    }
    client, _ = google(answers)
    edge = Tools(google=lambda: client, say=said.append, sleep=lambda _: None)
    follow(submit(a_job(url), workspace, edge), workspace, edge)
    assert [line.removeprefix("loopline: ") for line in said] == ["1", "2", "3", "4", "6", "7", "8", "9"]


def test_a_training_that_hangs_is_stopped(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No metric, no checkpoint for its longest idle time: the machine says so and ends."""
    write_job(open_place(bucket), digits_job(bucket, max_idle_minutes=0.005))
    # In the place of a training that never begins.
    monkeypatch.setattr(sys, "executable", str(_sleeper(tmp_path)))
    state = work(bucket, OVERRIDES, workspace=Workspace(tmp_path / "w"), pace=QUICK)
    assert (state.status, state.error) == ("failed", "nothing came of it for 0.005 minutes")


def test_a_training_that_takes_too_long_is_stopped(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job's longest time, which is also what its budget pays for."""
    write_job(open_place(bucket), digits_job(bucket, max_hours=0.0001))
    monkeypatch.setattr(sys, "executable", str(_sleeper(tmp_path)))
    state = work(bucket, OVERRIDES, workspace=Workspace(tmp_path / "w"), pace=QUICK)
    assert (state.status, state.error) == ("failed", "it took all of its 0.0001 hours")


def _sleeper(folder: Path) -> Path:
    """A program that does nothing for a minute."""
    path = folder / "sleeper"
    path.write_text("#!/bin/sh\nexec sleep 60\n")
    path.chmod(0o755)
    return path
