"""What things would cost, and what is paid for now because of us."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from loopline.core.errors import InputError
from loopline.core.records import CloudSettings, CostEstimate, RunningResource
from loopline.core.workspace import Workspace
from loopline.google import ApiRefused, Google, open_google
from loopline.prices import (
    PriceTable,
    job_cost,
    machine_usd_per_hour,
    read_prices,
    refreshed,
    service_cost,
    write_prices,
)

# What carries it was made by Loopline.
_LABEL = "loopline"
_JOBS = ("vertex", "vm")


def estimate(target: str, settings: CloudSettings, *, workspace: Workspace | None = None) -> CostEstimate | None:
    """What a target costs by the dated table; None where the machines are your own.

    Raises `UnknownName` for a region, a machine family or a card that the table lacks.
    """
    table = read_prices(workspace or Workspace.default())
    return job_cost(target, settings, table) if target in _JOBS else service_cost(target, settings, table)


def refresh_prices(
    settings: CloudSettings,
    *,
    workspace: Workspace | None = None,
    google: Callable[[], Google] = open_google,
) -> PriceTable:
    """Asks Google's public price list for the settings' region and keeps the table in the workspace."""
    place = workspace or Workspace.default()
    table = refreshed(google(), settings.region, read_prices(place))
    write_prices(table, place)
    return table


def running(
    settings: CloudSettings,
    *,
    workspace: Workspace | None = None,
    google: Callable[[], Google] = open_google,
) -> list[RunningResource]:
    """Everything in the project that carries our label and is paid for, or may be at the next request.

    Raises `InputError` where no project is named. A service whose API is off has nothing that runs.
    """
    if settings.project is None:
        raise InputError("no project is named.", next_command="loopline cost --set project=PROJECT")
    client, table = google(), read_prices(workspace or Workspace.default())
    found: list[RunningResource] = []
    for look in (_services, _endpoints, _jobs, _machines):
        try:
            found += look(client, settings, table)
        except ApiRefused as refused:
            if refused.reason != "SERVICE_DISABLED":
                raise
    return found


def _services(google: Google, settings: CloudSettings, table: PriceTable) -> Iterator[RunningResource]:
    parameters = {"parent": f"namespaces/{settings.project}", "labelSelector": _LABEL}
    answer = google.call("run.v1", "namespaces.services.list", parameters, region=settings.region)
    for item in answer.get("items", ()):
        annotations = item["spec"]["template"]["metadata"].get("annotations", {})
        least = int(annotations.get("autoscaling.knative.dev/minScale", 0))
        own = settings.model_copy(update={"service": settings.service.model_copy(update={"min_instances": least})})
        cost = service_cost("cloudrun", own, table)
        yield RunningResource(
            kind="Cloud Run service",
            name=item["metadata"]["name"],
            where=settings.region,
            since=_time(item["metadata"].get("creationTimestamp")),
            state=f"{least} instances wait",
            usd_per_hour=0.0 if cost is None else cost.usd_per_idle_day / 24,
        )


def _endpoints(google: Google, settings: CloudSettings, table: PriceTable) -> Iterator[RunningResource]:
    for item in _vertex(google, settings, "endpoints"):
        usd = 0.0
        for model in item.get("deployedModels", ()):
            resources = model.get("dedicatedResources", {})
            number = int(resources.get("minReplicaCount", 1))
            usd += number * _usd(table, settings, resources.get("machineSpec", {})) * table.vertex_factor
        yield RunningResource(
            kind="Vertex endpoint",
            name=item.get("displayName", item["name"]),
            where=settings.region,
            since=_time(item.get("createTime")),
            state=f"{len(item.get('deployedModels', ()))} models",
            usd_per_hour=usd,
        )


def _jobs(google: Google, settings: CloudSettings, table: PriceTable) -> Iterator[RunningResource]:
    for item in _vertex(google, settings, "customJobs"):
        if item.get("state") not in ("JOB_STATE_RUNNING", "JOB_STATE_PENDING", "JOB_STATE_QUEUED"):
            continue
        spec = item["jobSpec"]
        factor = table.spot_factor if spec.get("scheduling", {}).get("strategy") == "SPOT" else 1.0
        machines = [pool.get("machineSpec", {}) for pool in spec["workerPoolSpecs"]]
        yield RunningResource(
            kind="Vertex job",
            name=item["displayName"],
            where=settings.region,
            since=_time(item.get("createTime")),
            state=item["state"].removeprefix("JOB_STATE_").lower(),
            usd_per_hour=sum(_usd(table, settings, machine) for machine in machines) * table.vertex_factor * factor,
        )


def _machines(google: Google, settings: CloudSettings, table: PriceTable) -> Iterator[RunningResource]:
    parameters = {"project": settings.project, "filter": f"labels.{_LABEL}:*"}
    for zone, part in google.call("compute.v1", "instances.aggregatedList", parameters).get("items", {}).items():
        for item in part.get("instances", ()):
            spot = item.get("scheduling", {}).get("provisioningModel") == "SPOT"
            cards = item.get("guestAccelerators") or [{}]
            spec = {
                "machineType": item["machineType"].rpartition("/")[2],
                "acceleratorType": cards[0].get("acceleratorType", "").rpartition("/")[2],
                "acceleratorCount": cards[0].get("acceleratorCount", 0),
            }
            runs = item["status"] in ("RUNNING", "STAGING", "PROVISIONING")
            yield RunningResource(
                kind="machine",
                name=item["name"],
                where=zone.rpartition("/")[2],
                since=_time(item.get("creationTimestamp")),
                state=item["status"].lower(),
                usd_per_hour=_usd(table, settings, spec) * (table.spot_factor if spot else 1.0) if runs else 0.0,
            )


def _vertex(google: Google, settings: CloudSettings, collection: str) -> Iterator[dict[str, Any]]:
    where = f"projects/{settings.project}/locations/{settings.region}"
    yield from google.pages(
        "aiplatform.v1",
        f"projects.locations.{collection}.list",
        {"parent": where, "filter": f"labels.{_LABEL}:*"},
        key=collection,
        region=settings.region,
    )


def _usd(table: PriceTable, settings: CloudSettings, machine: dict[str, Any]) -> float:
    card = str(machine.get("acceleratorType") or "").lower().replace("_", "-") or None
    return machine_usd_per_hour(
        machine.get("machineType", settings.job.machine),
        settings.region,
        table,
        accelerator=card,
        num_accelerators=int(machine.get("acceleratorCount", 0)),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
