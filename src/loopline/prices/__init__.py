"""What things cost: a dated table of list prices, and estimates. Taxes, discounts and free tiers are left out."""

from loopline.prices.estimate import job_cost, machine_usd_per_hour, service_cost
from loopline.prices.machine import Machine, parse_machine
from loopline.prices.refresh import refreshed
from loopline.prices.table import FamilyPrices, PriceTable, RegionPrices, read_prices, write_prices

__all__ = [
    "FamilyPrices",
    "Machine",
    "PriceTable",
    "RegionPrices",
    "job_cost",
    "machine_usd_per_hour",
    "parse_machine",
    "read_prices",
    "refreshed",
    "service_cost",
    "write_prices",
]
