"""The place `kubernetes`: a RayJob of KubeRay 1.3 or newer, by kubectl and the credentials that it holds.

The operator makes a Ray cluster for the job, starts `loopline job work` on it, and takes the cluster away afterwards.
https://docs.ray.io/en/latest/cluster/kubernetes/getting-started/rayjob-quick-start.html
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loopline.core.records import CloudJob
from loopline.deployment.order import Tools
from loopline.deployment.ray import ray_job

# KubeRay's names of a job's states (rayjob_types.go) to ours; an empty one is not begun.
_STATES = {"SUCCEEDED": "completed", "FAILED": "failed", "STOPPED": "stopped", "RUNNING": "running"}


class RayJobs:
    """One RayJob a try."""

    def body(self, job: CloudJob) -> dict[str, Any]:
        return ray_job(_name(job), image=job.image, overrides=job.overrides, settings=job.settings, url=job.url)

    def request(self, job: CloudJob) -> str:
        return " ".join(_words(job, "apply", "--filename=rayjob.json"))

    def submit(self, job: CloudJob, tools: Tools) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rayjob.json"
            path.write_text(json.dumps(self.body(job)), encoding="utf-8")
            tools.run(_words(job, "apply", f"--filename={path}"))
        return _name(job)

    def state(self, job: CloudJob, tools: Tools) -> str:
        text = tools.run(_words(job, "get", f"rayjob/{_name(job)}", "--ignore-not-found", "--output=json"))
        if not text.strip():
            return "gone"
        status = json.loads(text).get("status", {})
        # The cluster may fail, or the longest time end, before or after the job itself says anything.
        if status.get("jobDeploymentStatus") in ("Failed", "ValidationFailed"):
            return "failed"
        return _STATES.get(str(status.get("jobStatus", "")), "submitted")

    def logs(self, job: CloudJob, tools: Tools) -> Iterator[str]:
        # KubeRay submits by a Kubernetes job of the same name, whose pod repeats what the work says.
        words = _words(job, "logs", f"--selector=job-name={_name(job)}", "--tail=100", "--ignore-errors")
        yield from tools.run(words).splitlines()

    def stop(self, job: CloudJob, tools: Tools) -> None:
        tools.run(_words(job, "delete", f"rayjob/{_name(job)}", "--ignore-not-found"))


def _name(job: CloudJob) -> str:
    """At most 47 characters, as KubeRay asks."""
    return f"train-{job.job_id}-{job.num_restarts}"


def _words(job: CloudJob, *words: str) -> list[str]:
    return ["kubectl", f"--namespace={job.settings.service.namespace}", *words]
