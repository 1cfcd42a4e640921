"""The table as it is today: from the public price list of Cloud Billing.

https://cloud.google.com/billing/docs/reference/rest/v1/services.skus
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from loopline.core.errors import StateError
from loopline.core.records import utc_now
from loopline.google import Google
from loopline.prices.table import FamilyPrices, PriceTable, RegionPrices

# Google's numbers of the two services whose prices the table holds.
_COMPUTE, _RUN = "services/6F81-5844-456A", "services/152E-C115-5142"
_FAMILIES = {"e2": "E2 Instance", "g2": "G2 Instance", "n1": "N1 Predefined Instance", "n2": "N2 Instance"}
# As the list describes them; "attached to DWS …" is another, cheaper way to be given the same card.
_CARDS = {"nvidia-l4": "Nvidia L4 GPU", "nvidia-tesla-t4": "Nvidia Tesla T4 GPU"}
_RUN_UNITS = {
    "run_cpu_second": r"^Services CPU .*Request.based",
    "run_gib_second": r"^Services Memory .*Request.based",
    "run_idle_cpu_second": r"^Services Min Instance CPU .*Request.based",
    "run_idle_gib_second": r"^Services Min Instance Memory .*Request.based",
}


def refreshed(google: Google, region: str, table: PriceTable) -> PriceTable:
    """The table with today's prices of one region; what the list does not name keeps its price, or a near region's.

    Raises `StateError` where the list names no machine of the region.
    """
    compute = list(_skus(google, _COMPUTE, region))
    families = {
        family: FamilyPrices(cpu_hour=cpu, gib_hour=ram)
        for family, title in _FAMILIES.items()
        if (cpu := _price(compute, rf"^{title} Core running")) and (ram := _price(compute, rf"^{title} Ram running"))
    }
    if not families:
        raise StateError(
            f"Google's prices name no machine of region '{region}'.", next_command="gcloud compute regions list"
        )
    cards = {card: usd for card, title in _CARDS.items() if (usd := _price(compute, rf"^{title} running"))}
    kept = table.regions.get(region) or next(iter(table.regions.values()))
    run = list(_skus(google, _RUN, region))
    found = {name: usd for name, pattern in _RUN_UNITS.items() if (usd := _price(run, pattern))}
    if (disk := _price(compute, r"^Storage PD Capacity")) is not None:
        found["disk_gib_month"] = disk
    facts = {**kept.model_dump(), **found, "families": families, "accelerators": cards}
    regions = {**table.regions, region: RegionPrices.model_validate(facts)}
    return table.model_copy(update={"as_of": utc_now().date(), "regions": regions})


def _skus(google: Google, service: str, region: str) -> Iterable[Mapping[str, Any]]:
    """What is sold in a region at its list price."""
    for sku in google.pages("cloudbilling.v1", "services.skus.list", {"parent": service}, key="skus"):
        if region in sku.get("serviceRegions", ()) and sku.get("category", {}).get("usageType") == "OnDemand":
            yield sku


def _price(skus: Iterable[Mapping[str, Any]], pattern: str) -> float | None:
    """US dollars per unit of the first match, at the highest tier: the first ones may be free."""
    for sku in skus:
        if re.search(pattern, sku["description"]):
            rates = sku["pricingInfo"][-1]["pricingExpression"]["tieredRates"]
            price = rates[-1]["unitPrice"]
            return float(price.get("units", 0)) + float(price.get("nanos", 0)) / 1e9
    return None
