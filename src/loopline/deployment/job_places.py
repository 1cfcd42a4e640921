"""Where a training can run: Vertex' custom jobs, a machine of its own on Compute Engine, a Kubernetes cluster."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from loopline.core.records import CloudJob
from loopline.core.tables import resolve
from loopline.deployment.cloudrun import log_lines
from loopline.deployment.order import LABEL, Tools
from loopline.google import ApiRefused

JOB_PLACES: Mapping[str, str] = {
    "vertex": "loopline.deployment.job_places:VertexJobs",
    "vm": "loopline.deployment.job_places:Machines",
    "kubernetes": "loopline.deployment.ray_jobs:RayJobs",
}
_SCRIPT = Path(__file__).parent / "startup.sh"
_JOBS = "projects.locations.customJobs"
# Vertex' names of states to ours: https://cloud.google.com/vertex-ai/docs/reference/rest/v1/JobState
_STATES = {
    "JOB_STATE_SUCCEEDED": "completed",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_EXPIRED": "failed",
    "JOB_STATE_CANCELLED": "stopped",
    "JOB_STATE_CANCELLING": "stopped",
    "JOB_STATE_RUNNING": "running",
}


class JobPlace(Protocol):
    """Somewhere that a training can run."""

    def body(self, job: CloudJob) -> dict[str, Any]:
        """What is sent to start it."""

    def request(self, job: CloudJob) -> str:
        """The request in words, as a plan shows it."""

    def submit(self, job: CloudJob, tools: Tools) -> str:
        """Starts it; returns the cloud's own name of what was started."""

    def state(self, job: CloudJob, tools: Tools) -> str:
        """`submitted`, `running`, `completed`, `failed`, `stopped`, or `gone` where the machine is no more."""

    def logs(self, job: CloudJob, tools: Tools) -> Iterator[str]:
        """The last lines that it wrote."""

    def stop(self, job: CloudJob, tools: Tools) -> None:
        """Ends it, so that it costs nothing any more; one that has ended is no error."""


def open_job_place(name: str) -> JobPlace:
    """The place of a name; raises `UnknownName`."""
    place: JobPlace = resolve(JOB_PLACES, name, kind="place")()
    return place


class VertexJobs:
    """The place `vertex`: a custom job, which Vertex starts again elsewhere when a spot machine is taken away."""

    def body(self, job: CloudJob) -> dict[str, Any]:
        settings, limits = job.settings, job.settings.job
        machine: dict[str, Any] = {"machineType": limits.machine}
        if limits.accelerator is not None:
            machine |= {
                "acceleratorType": limits.accelerator.upper().replace("-", "_"),
                "acceleratorCount": limits.num_accelerators,
            }
        container = {
            "imageUri": job.image,
            "command": ["loopline", "job", "work", job.url],
            "args": list(job.overrides),
            "env": [{"name": "LOOPLINE_HOME", "value": "/tmp/workspace"}],  # noqa: S108 - of the container
        }
        pool = {
            "machineSpec": machine,
            "replicaCount": "1",
            "diskSpec": {"bootDiskType": "pd-standard", "bootDiskSizeGb": limits.disk_gb},
            "containerSpec": container,
        }
        scheduling = {
            "timeout": f"{int(limits.max_hours * 3600)}s",
            "restartJobOnWorkerRestart": limits.spot,
            "strategy": "SPOT" if limits.spot else "STANDARD",
        }
        spec = {
            "workerPoolSpecs": [pool],
            "scheduling": scheduling,
            "serviceAccount": settings.account(settings.run_account),
            "baseOutputDirectory": {"outputUriPrefix": f"{job.url}/output"},
        }
        return {"displayName": job.job_id, "jobSpec": spec, "labels": {LABEL: "job", f"{LABEL}-job": job.job_id}}

    def request(self, job: CloudJob) -> str:
        return f"POST aiplatform.v1 {_JOBS}.create custom-job.json"

    def submit(self, job: CloudJob, tools: Tools) -> str:
        settings = job.settings
        parent = {"parent": f"projects/{settings.project}/locations/{settings.region}"}
        google = tools.google()
        made = google.call("aiplatform.v1", f"{_JOBS}.create", parent, body=self.body(job), region=settings.region)
        return str(made["name"])

    def state(self, job: CloudJob, tools: Tools) -> str:
        try:
            found = tools.google().call(
                "aiplatform.v1", f"{_JOBS}.get", {"name": job.resource}, region=job.settings.region
            )
        except ApiRefused as refused:
            if refused.is_missing:
                return "gone"
            raise
        return _STATES.get(str(found.get("state")), "submitted")

    def logs(self, job: CloudJob, tools: Tools) -> Iterator[str]:
        number = str(job.resource).rpartition("/")[2]
        chosen = f'resource.type="ml_job" resource.labels.job_id="{number}"'
        yield from log_lines(tools.google(), job.settings, chosen)

    def stop(self, job: CloudJob, tools: Tools) -> None:
        try:
            tools.google().call(
                "aiplatform.v1", f"{_JOBS}.cancel", {"name": job.resource}, body={}, region=job.settings.region
            )
        except ApiRefused as refused:
            # 400: it has ended already.
            if refused.status not in (400, 404):
                raise


class Machines:
    """The place `vm`: a machine that is made for the job and deletes itself after it.

    Three things end it: the job's own end, Compute Engine's `maxRunDuration`, and whoever follows the job.
    """

    def body(self, job: CloudJob) -> dict[str, Any]:
        settings, limits = job.settings, job.settings.job
        zone = f"zones/{settings.machine_zone}"
        cards = (
            []
            if limits.accelerator is None
            else [
                {
                    "acceleratorType": f"projects/{settings.project}/{zone}/acceleratorTypes/{limits.accelerator}",
                    "acceleratorCount": limits.num_accelerators,
                }
            ]
        )
        boot = {
            # Images of Google's that hold Docker and, from the second line on, the drivers of their cards.
            "sourceImage": "projects/cos-cloud/global/images/family/cos-stable",
            "diskSizeGb": str(limits.disk_gb),
            "diskType": f"{zone}/diskTypes/pd-standard",
        }
        return {
            "name": machine_name(job),
            "machineType": f"{zone}/machineTypes/{limits.machine}",
            "labels": {LABEL: "job", f"{LABEL}-job": job.job_id},
            "disks": [{"boot": True, "autoDelete": True, "initializeParams": boot}],
            "networkInterfaces": [
                {"network": "global/networks/default", "accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]}
            ],
            "guestAccelerators": cards,
            "serviceAccounts": [
                {
                    "email": settings.account(settings.run_account),
                    "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
                }
            ],
            "scheduling": {
                "provisioningModel": "SPOT" if limits.spot else "STANDARD",
                "instanceTerminationAction": "DELETE",
                "maxRunDuration": {"seconds": str(int(limits.max_hours * 3600))},
                "automaticRestart": False,
                "onHostMaintenance": "TERMINATE",
            },
            "shieldedInstanceConfig": {"enableSecureBoot": limits.accelerator is None},
            "metadata": {"items": [{"key": "startup-script", "value": startup_script(job)}]},
        }

    def request(self, job: CloudJob) -> str:
        return "POST compute.v1 instances.insert instance.json"

    def submit(self, job: CloudJob, tools: Tools) -> str:
        tools.google().call("compute.v1", "instances.insert", _zone(job), body=self.body(job))
        return machine_name(job)

    def state(self, job: CloudJob, tools: Tools) -> str:
        try:
            found = tools.google().call("compute.v1", "instances.get", {**_zone(job), "instance": machine_name(job)})
        except ApiRefused as refused:
            if refused.is_missing:
                return "gone"
            raise
        return "running" if found.get("status") == "RUNNING" else "submitted"

    def logs(self, job: CloudJob, tools: Tools) -> Iterator[str]:
        parameters = {**_zone(job), "instance": machine_name(job), "port": 1}
        try:
            found = tools.google().call("compute.v1", "instances.getSerialPortOutput", parameters)
        except ApiRefused as refused:
            # The machine is gone, and what it said with it; its last words are in the job's state.
            if refused.is_missing:
                return
            raise
        yield from (line for line in str(found.get("contents", "")).splitlines() if "loopline:" in line)

    def stop(self, job: CloudJob, tools: Tools) -> None:
        try:
            tools.google().call("compute.v1", "instances.delete", {**_zone(job), "instance": machine_name(job)})
        except ApiRefused as refused:
            if not refused.is_missing:
                raise


def machine_name(job: CloudJob) -> str:
    """One machine a try."""
    return f"{LABEL}-{job.job_id}-{job.num_restarts}"


def startup_script(job: CloudJob) -> str:
    """What the machine does: run the image, tell the serial port, delete itself whatever happened."""
    settings = job.settings
    machine = f"zones/{settings.machine_zone}/instances/{machine_name(job)}"
    given = {
        "IMAGE": job.image,
        "REGISTRY": job.image.partition("/")[0],
        "HAS_CARD": "no" if settings.job.accelerator is None else "yes",
        "MACHINE_URL": f"https://compute.googleapis.com/compute/v1/projects/{settings.project}/{machine}",
    }
    head = "".join(f"{name}={shlex.quote(value)}\n" for name, value in given.items())
    words = f"WORDS=({shlex.join(['job', 'work', job.url, *job.overrides])})\n"
    return f"#!/bin/bash\n{head}{words}{_SCRIPT.read_text(encoding='utf-8')}"


def _zone(job: CloudJob) -> dict[str, Any]:
    return {"project": job.settings.project, "zone": job.settings.machine_zone}
