"""What a service and a job cost, from settings and a table."""

from __future__ import annotations

from loopline.core.errors import UnknownName
from loopline.core.records import CloudSettings, CostEstimate, CostLine
from loopline.prices.machine import parse_machine
from loopline.prices.table import PriceTable

_HOURS_A_MONTH = 730
# A picture through a small network on one processor, with all that HTTP needs.
_REQUEST_S = 0.1


def machine_usd_per_hour(
    name: str,
    region: str,
    table: PriceTable,
    *,
    accelerator: str | None = None,
    num_accelerators: int = 0,
) -> float:
    """A machine on Compute Engine for an hour, with its own cards and those that are added."""
    machine, prices = parse_machine(name), table.of(region)
    if machine.family not in prices.families:
        raise UnknownName("machine family", machine.family, prices.families, of=f"region '{region}'")
    family = prices.families[machine.family]
    usd = machine.num_cpus * family.cpu_hour + machine.memory_gib * family.gib_hour
    cards = {accelerator: num_accelerators, machine.accelerator: machine.num_accelerators}
    for card, number in cards.items():
        if card is None or not number:
            continue
        if card not in prices.accelerators:
            raise UnknownName("accelerator", card, prices.accelerators, of=f"region '{region}'")
        usd += number * prices.accelerators[card]
    return usd


def service_cost(
    target: str, settings: CloudSettings, table: PriceTable, *, request_s: float = _REQUEST_S
) -> CostEstimate | None:
    """What a service costs, at `request_s` of one instance's time per request; None where the machines are your own."""
    if target == "cloudrun":
        return _cloud_run(settings, table, request_s)
    if target == "vertex-endpoint":
        return _vertex_endpoint(settings, table)
    return None


def _cloud_run(settings: CloudSettings, table: PriceTable, request_s: float) -> CostEstimate:
    """While requests are answered processors and memory are paid by the second; waiting instances cost less."""
    prices, service = table.of(settings.region), settings.service
    gib = service.memory_mib / 1024
    busy_s = service.num_cpus * prices.run_cpu_second + gib * prices.run_gib_second
    idle_s = service.num_cpus * prices.run_idle_cpu_second + gib * prices.run_idle_gib_second
    # A busy instance works on one request after the other on its processors, however many it accepts at once.
    per_thousand = 1000 * request_s * busy_s + prices.run_million_requests / 1000
    return CostEstimate(
        usd_per_hour=3600 * busy_s,
        usd_per_idle_day=86_400 * idle_s * service.min_instances,
        usd_per_1000_requests=per_thousand,
        lines=(
            CostLine(what=f"one instance at work, {service.num_cpus:g} CPU, {gib:g} GiB", usd_per_hour=3600 * busy_s),
            CostLine(what=f"{service.min_instances} waiting", usd_per_hour=3600 * idle_s * service.min_instances),
        ),
        prices_as_of=table.as_of.isoformat(),
        region=settings.region,
    )


def _vertex_endpoint(settings: CloudSettings, table: PriceTable) -> CostEstimate:
    """A Vertex endpoint never scales to nothing: its machines are paid by the hour, asked or not."""
    service = settings.service
    usd = machine_usd_per_hour(service.machine, settings.region, table) * table.vertex_factor
    number = max(1, service.min_instances)
    return CostEstimate(
        usd_per_hour=number * usd,
        usd_per_idle_day=24 * number * usd,
        lines=(CostLine(what=f"{number} × {service.machine} of Vertex, asked or not", usd_per_hour=number * usd),),
        prices_as_of=table.as_of.isoformat(),
        region=settings.region,
    )


def job_cost(place: str, settings: CloudSettings, table: PriceTable) -> CostEstimate:
    """What a training costs by the hour, and at most, where it takes all of its `max_hours`; nothing in a cluster."""
    if place == "kubernetes":
        # Of your own: its machines are paid for, whatever they do.
        return CostEstimate(
            usd_per_hour=0.0,
            usd_per_idle_day=0.0,
            max_usd_per_run=0.0,
            prices_as_of=table.as_of.isoformat(),
            region=settings.region,
        )
    job, prices = settings.job, table.of(settings.region)
    machine = machine_usd_per_hour(
        job.machine,
        settings.region,
        table,
        accelerator=job.accelerator,
        num_accelerators=job.num_accelerators if job.accelerator else 0,
    )
    factor = (table.vertex_factor if place == "vertex" else 1.0) * (table.spot_factor if job.spot else 1.0)
    disk = job.disk_gb * prices.disk_gib_month / _HOURS_A_MONTH
    usd = machine * factor + disk
    cards = f" with {job.num_accelerators} × {job.accelerator}" if job.accelerator else ""
    return CostEstimate(
        usd_per_hour=usd,
        usd_per_idle_day=0.0,
        max_usd_per_run=usd * job.max_hours,
        lines=(
            CostLine(what=f"{job.machine}{cards}{', spot' if job.spot else ''}", usd_per_hour=machine * factor),
            CostLine(what=f"disk of {job.disk_gb} GB", usd_per_hour=disk),
        ),
        prices_as_of=table.as_of.isoformat(),
        region=settings.region,
    )
