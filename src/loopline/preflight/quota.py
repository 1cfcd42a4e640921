"""Does the quota hold the machine and the card, and does the zone have them?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from loopline.core.records import PreflightCheck
from loopline.google import ApiRefused
from loopline.preflight.check import failed, passed, question
from loopline.preflight.facts import Scene

_UNLIMITED = -1
_PAGE = "https://console.cloud.google.com/iam-admin/quotas"


@question("quota")
def check_vertex_quota(scene: Scene) -> Iterator[PreflightCheck]:
    """Vertex has quotas of its own, beside those of Compute Engine, and new projects have none for cards.

    https://cloud.google.com/vertex-ai/docs/quotas
    """
    for metric, wanted in _vertex_wants(scene).items():
        limit = _vertex_limit(scene, metric)
        if limit != _UNLIMITED and limit < wanted:
            yield failed(
                "quota",
                f"aiplatform.googleapis.com/{metric} is {limit} in {scene.settings.region}; the job needs {wanted}",
                why="A job over the quota is refused, or waits for ever; raising it takes a person and a day or two.",
                fix=f"ask for more at {_PAGE}?project={scene.project} (filter: {metric}), or choose another machine",
            )
        else:
            shown = "no limit" if limit == _UNLIMITED else str(limit)
            yield passed("quota", f"{metric}: {shown}, needed {wanted}")


def _vertex_wants(scene: Scene) -> dict[str, int]:
    if scene.target == "vertex-endpoint":
        service = scene.settings.service
        return {"custom_model_serving_cpus": _num_cpus(service.machine) * service.max_instances}
    job = scene.settings.job
    kind = "preemptible_" if job.spot else ""
    wants = {f"custom_model_training_{kind}cpus": _num_cpus(job.machine)}
    if job.accelerator is not None:
        wants[f"custom_model_training_{kind}{_card(job.accelerator).lower()}_gpus"] = job.num_accelerators
    return wants


def _vertex_limit(scene: Scene, metric: str) -> int:
    service = "aiplatform.googleapis.com"
    name = f"projects/{scene.project_number}/services/{service}/consumerQuotaMetrics/{quote(f'{service}/{metric}', '')}"
    try:
        answer = scene.google.call("serviceusage.v1beta1", "services.consumerQuotaMetrics.get", {"name": name})
    except ApiRefused as refused:
        if refused.is_missing:
            return 0
        raise
    # One bucket without a region holds for those that have none of their own.
    fallback, own = 0, None
    for limit in answer.get("consumerQuotaLimits", ()):
        for bucket in limit.get("quotaBuckets", ()):
            region = bucket.get("dimensions", {}).get("region")
            if region == scene.settings.region:
                own = int(bucket["effectiveLimit"])
            elif region is None:
                fallback = int(bucket.get("effectiveLimit", 0))
    return fallback if own is None else own


@question("quota")
def check_vm_quota(scene: Scene) -> Iterator[PreflightCheck]:
    """Processors and cards in the region, and cards in all regions together."""
    job, region = scene.settings.job, scene.settings.region
    answer = scene.google.call("compute.v1", "regions.get", {"project": scene.project, "region": region})
    quotas = _by_metric(answer)
    wants = {"CPUS": _num_cpus(job.machine)}
    if job.accelerator is not None:
        kind = "PREEMPTIBLE_" if job.spot else ""
        wants[f"{kind}{_card(job.accelerator)}_GPUS"] = job.num_accelerators
        everywhere = scene.google.call("compute.v1", "projects.get", {"project": scene.project})
        quotas |= {"GPUS_ALL_REGIONS": _by_metric(everywhere).get("GPUS_ALL_REGIONS", (0.0, 0.0))}
        wants["GPUS_ALL_REGIONS"] = job.num_accelerators
    for metric, wanted in wants.items():
        limit, usage = quotas.get(metric, (0.0, 0.0))
        if limit - usage < wanted:
            where = "" if metric == "GPUS_ALL_REGIONS" else f" in {region}"
            yield failed(
                "quota",
                f"{metric}{where}: {usage:g} of {limit:g} used; the machine needs {wanted}",
                why="A machine over the quota is refused; raising it takes a person and a day or two.",
                fix=f"ask for more at {_PAGE}?project={scene.project} (filter: {metric}), or choose another machine",
            )
        else:
            yield passed("quota", f"{metric}: {usage:g} of {limit:g} used, needed {wanted}")


@question("machine")
def check_vm_machine(scene: Scene) -> Iterator[PreflightCheck]:
    """Does the zone have the machine, and the card?"""
    job, zone = scene.settings.job, scene.settings.machine_zone
    place = {"project": scene.project, "zone": zone}
    wanted = [("machine", "machineTypes", "machineType", job.machine)]
    if job.accelerator is not None:
        wanted.append(("card", "acceleratorTypes", "acceleratorType", job.accelerator))
    for title, collection, key, name in wanted:
        try:
            scene.google.call("compute.v1", f"{collection}.get", {**place, key: name})
        except ApiRefused as refused:
            if not refused.is_missing:
                raise
            kinds = "machine-types" if title == "machine" else "accelerator-types"
            yield failed(
                title,
                f"zone {zone} has no {name}",
                why="Zones of one region differ in what they have, most of all in cards.",
                fix=f"gcloud compute {kinds} list --filter=name={name} --project={scene.project}",
            )
        else:
            yield passed(title, f"{name} in {zone}")


def _by_metric(answer: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {item["metric"]: (float(item["limit"]), float(item.get("usage", 0))) for item in answer.get("quotas", ())}


def _card(accelerator: str) -> str:
    """`nvidia-tesla-t4` → `NVIDIA_T4`, as quotas write it."""
    return accelerator.upper().replace("-TESLA-", "-").replace("-", "_")


def _num_cpus(machine: str) -> int:
    """The number at the end of a predefined type's name, else one."""
    match = re.search(r"-(\d+)$", machine)
    return int(match[1]) if match else 1
