"""What things cost, what runs because of us, and prices of another day."""

from __future__ import annotations

from typing import Any

import pytest
from tests.recorded_google import PROJECT, REGION, Reply, google, refusal

from loopline import cloud
from loopline.core.errors import InputError, StateError, UnknownName
from loopline.core.records import CloudSettings
from loopline.core.workspace import Workspace
from loopline.google import Google
from loopline.prices import machine_usd_per_hour, parse_machine, read_prices

_RUN = rf"GET {REGION}-run\.googleapis\.com/apis/serving\.knative\.dev/v1/namespaces/{PROJECT}/services"
_VERTEX = rf"GET {REGION}-aiplatform\.googleapis\.com/v1/projects/{PROJECT}/locations/{REGION}"
_MACHINES = rf"GET compute\.googleapis\.com/compute/v1/projects/{PROJECT}/aggregated/instances"
_SKUS = r"GET cloudbilling\.googleapis\.com/v1/services/{}/skus"


def client(answers: dict[str, Reply]) -> Google:
    """A client with these answers."""
    return google(answers)[0]


def test_a_service_that_waits_for_nobody_costs_nothing(settings: CloudSettings, workspace: Workspace) -> None:
    """Cloud Run by use, Vertex by the hour, your own machines not at all; figures by hand from the price list."""
    run = cloud.estimate("cloudrun", settings, workspace=workspace)
    assert run is not None
    assert run.usd_per_hour == pytest.approx(3600 * (0.000024 + 0.0000025))
    assert run.usd_per_idle_day == 0
    assert run.usd_per_1000_requests == pytest.approx(1000 * 0.1 * 0.0000265 + 0.0004)
    endpoint = cloud.estimate("vertex-endpoint", settings, workspace=workspace)
    assert endpoint is not None
    assert endpoint.usd_per_idle_day == pytest.approx(24 * 1.15 * (2 * 0.0347721 + 7.5 * 0.0046607))
    assert cloud.estimate("kubernetes", settings, workspace=workspace) is None


def test_machines_and_cards(workspace: Workspace) -> None:
    """Google's own list gives 0.19 and 0.7068 USD for these two in Iowa."""
    table = read_prices(workspace)
    assert machine_usd_per_hour("n1-standard-4", "us-central1", table) == pytest.approx(0.19, abs=1e-4)
    assert machine_usd_per_hour("g2-standard-4", "us-central1", table) == pytest.approx(0.7068, abs=1e-4)
    assert parse_machine("n1-highmem-8").memory_gib == 52
    with pytest.raises(InputError, match="expected a predefined type such as n1-standard-4"):
        parse_machine("large")
    with pytest.raises(UnknownName, match="region 'mars-north1' of the price table does not exist"):
        table.of("mars-north1")
    with pytest.raises(UnknownName, match="machine family 'z9'"):
        machine_usd_per_hour("z9-standard-4", "us-central1", table)
    with pytest.raises(UnknownName, match="accelerator 'nvidia-b900'"):
        machine_usd_per_hour("n1-standard-4", "us-central1", table, accelerator="nvidia-b900", num_accelerators=1)


def test_spot_and_budget_bound_a_run(settings: CloudSettings, workspace: Workspace) -> None:
    """A budget of a quarter buys a quarter of the time."""
    plain = cloud.estimate("vm", settings, workspace=workspace)
    spot_job = settings.job.model_copy(update={"spot": True})
    spot = cloud.estimate("vm", settings.model_copy(update={"job": spot_job}), workspace=workspace)
    assert plain is not None
    assert spot is not None
    assert spot.usd_per_hour < 0.5 * plain.usd_per_hour
    budget = settings.model_copy(update={"budget_usd": plain.usd_per_hour})
    job, plan = cloud.plan_training("vm", ["recipe=fashion"], budget, image="train:1", workspace=workspace)
    assert job.settings.job.max_hours == pytest.approx(1.0)
    assert plan.cost is not None
    assert plan.cost.max_usd_per_run == pytest.approx(plain.usd_per_hour)
    assert (workspace.jobs / job.job_id / "instance.json").is_file()
    with pytest.raises(InputError, match="needs a project and a bucket"):
        cloud.plan_training("vm", ["recipe=fashion"], CloudSettings(), workspace=workspace)


def test_everything_of_ours_is_found(settings: CloudSettings, workspace: Workspace) -> None:
    """Services, endpoints, jobs, machines, each with its price; an API that is off has nothing that runs."""
    minimum = {"metadata": {"annotations": {"autoscaling.knative.dev/minScale": "1"}}}
    answers: dict[str, Reply] = {
        _RUN: {"items": [{"metadata": {"name": "shapes"}, "spec": {"template": minimum}}]},
        rf"{_VERTEX}/endpoints": {
            "endpoints": [
                {
                    "name": "e",
                    "displayName": "shapes",
                    "deployedModels": [
                        {"dedicatedResources": {"machineSpec": {"machineType": "n1-standard-2"}, "minReplicaCount": 2}}
                    ],
                }
            ]
        },
        rf"{_VERTEX}/customJobs": {
            "customJobs": [
                {"displayName": "done", "state": "JOB_STATE_SUCCEEDED", "jobSpec": {}},
                {
                    "displayName": "train",
                    "state": "JOB_STATE_RUNNING",
                    "createTime": "2026-11-21T12:00:00Z",
                    "jobSpec": {
                        "scheduling": {"strategy": "SPOT"},
                        "workerPoolSpecs": [{"machineSpec": {"machineType": "n1-standard-4"}}],
                    },
                },
            ]
        },
        _MACHINES: {
            "items": {
                f"zones/{REGION}-b": {
                    "instances": [{"name": "m", "status": "RUNNING", "machineType": "z/n1-standard-4"}]
                }
            }
        },
    }
    found = cloud.running(settings, workspace=workspace, google=lambda: client(answers))
    kinds = [(item.kind, item.name) for item in found]
    assert kinds == [
        ("Cloud Run service", "shapes"),
        ("Vertex endpoint", "shapes"),
        ("Vertex job", "train"),
        ("machine", "m"),
    ]
    assert all(item.usd_per_hour > 0 for item in found)
    off = refusal(403, "PERMISSION_DENIED", "API has not been used", details="SERVICE_DISABLED")
    answers |= {rf"{_VERTEX}/endpoints": off, rf"{_VERTEX}/customJobs": off}
    assert len(cloud.running(settings, workspace=workspace, google=lambda: client(answers))) == 2
    with pytest.raises(InputError, match="no project is named"):
        cloud.running(CloudSettings(), workspace=workspace, google=lambda: client({}))


def sku(description: str, nanos: int) -> dict[str, Any]:
    """One line of Google's price list."""
    rate = {"startUsageAmount": 0, "unitPrice": {"currencyCode": "USD", "units": "0", "nanos": nanos}}
    return {
        "description": description,
        "serviceRegions": ["europe-north1"],
        "category": {"usageType": "OnDemand"},
        "pricingInfo": [{"pricingExpression": {"tieredRates": [rate]}}],
    }


def test_prices_of_another_region_are_asked_for_and_kept(workspace: Workspace) -> None:
    """The public price list, page by page; what it does not name keeps its price."""
    skus = [
        sku("N1 Predefined Instance Core running in Finland", 34773000),
        sku("N1 Predefined Instance Ram running in Finland", 4661000),
        sku("Nvidia Tesla T4 GPU attached to DWS Defined Duration VMs running in Finland", 175000000),
        sku("Nvidia Tesla T4 GPU running in Finland", 350000000),
        {**sku("N1 Predefined Instance Core running in Finland", 1000), "category": {"usageType": "Commit1Yr"}},
    ]
    compute, run = _SKUS.format("6F81-5844-456A"), _SKUS.format("152E-C115-5142")

    # As the catalog's second tier of regions is called.
    tier_two = [
        sku("Services CPU (Instance-based billing) in europe-north1", 18000),
        sku("Services Min Instance CPU Tier 2 (Request-based billing)", 3500),
        sku("Services CPU Tier 2 (Request-based billing)", 33600),
    ]

    def pages(asked: Any) -> dict[str, Any]:
        return {"skus": skus[1:]} if "pageToken" in asked.query else {"skus": skus[:1], "nextPageToken": "2"}

    answers: dict[str, Reply] = {compute: pages, run: {"skus": tier_two}}
    there = CloudSettings(project=PROJECT, region="europe-north1")
    table = cloud.refresh_prices(there, workspace=workspace, google=lambda: client(answers))
    prices = read_prices(workspace).of("europe-north1")
    assert prices.families["n1"].cpu_hour == pytest.approx(0.034773)
    assert prices.accelerators == {"nvidia-tesla-t4": 0.35}
    assert prices.run_cpu_second == pytest.approx(0.0000336)
    assert prices.run_idle_cpu_second == pytest.approx(0.0000035)
    assert prices.run_million_requests == 0.4
    assert table.as_of > read_prices(Workspace(workspace.root / "other")).as_of
    with pytest.raises(StateError, match="name no machine of region 'mars-north1'"):
        cloud.refresh_prices(
            CloudSettings(project=PROJECT, region="mars-north1"),
            workspace=workspace,
            google=lambda: client({compute: {"skus": skus}}),
        )
