"""The table itself: US dollars per unit and region, with the day on which they were read."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from loopline.core.errors import UnknownName
from loopline.core.records import Record
from loopline.core.store import read_record, write_record
from loopline.core.workspace import Workspace

_OURS = Path(__file__).parent / "prices.json"
_REFRESH = "loopline cost --refresh"


class FamilyPrices(Record):
    """A family of machines, by processor and by memory, for an hour."""

    cpu_hour: float = Field(gt=0)
    gib_hour: float = Field(gt=0)


class RegionPrices(Record):
    """One region: Cloud Run by the second, machines and cards by the hour."""

    run_cpu_second: float = Field(gt=0)
    run_gib_second: float = Field(gt=0)
    # Of instances that wait because `min_instances` asks for them.
    run_idle_cpu_second: float = Field(gt=0)
    run_idle_gib_second: float = Field(gt=0)
    run_million_requests: float = Field(ge=0)
    disk_gib_month: float = Field(gt=0)
    families: dict[str, FamilyPrices]
    accelerators: dict[str, float]


class PriceTable(Record):
    """List prices of a day; `vertex_factor` is what Vertex adds to a machine, `spot_factor` what spot leaves of it."""

    schema_version: Literal[1] = 1
    as_of: date
    sources: tuple[str, ...]
    vertex_factor: float = Field(ge=1)
    spot_factor: float = Field(gt=0, le=1)
    regions: dict[str, RegionPrices]

    def of(self, region: str) -> RegionPrices:
        """The prices of a region; raises `UnknownName` for one that the table lacks."""
        if region not in self.regions:
            raise UnknownName("region", region, self.regions, of="the price table", next_command=_REFRESH)
        return self.regions[region]


def read_prices(workspace: Workspace) -> PriceTable:
    """The table that was refreshed into the workspace, else the one that Loopline was released with."""
    own = _own(workspace)
    return read_record(PriceTable, own if own.is_file() else _OURS)


def write_prices(table: PriceTable, workspace: Workspace) -> Path:
    """Keeps a refreshed table in the workspace; returns its file."""
    write_record(_own(workspace), table)
    return _own(workspace)


def _own(workspace: Workspace) -> Path:
    return workspace.root / "prices.json"
