"""`RaySettings`: how an application is spread over a cluster; each field is an option of `loopline serve --on ray`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from loopline.core.records import Record


class RaySettings(Record):
    """Where the cluster is, and how many replicas it may run."""

    ray_address: str | None = Field(
        None, description="With --on ray: the cluster, as HOST:6379 or auto; none starts one on this machine."
    )
    min_replicas: int = Field(1, ge=1, le=10_000, description="With --on ray: fewest replicas, also when nobody asks.")
    max_replicas: int = Field(4, ge=1, le=10_000, description="With --on ray: most replicas, however many ask.")
    cores_per_replica: int = Field(1, ge=1, le=1024, description="With --on ray: cores that each replica is given.")
    target_requests: float = Field(
        8.0, gt=0, le=1_000_000, description="With --on ray: requests in work per replica that ask for another replica."
    )

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is more than max_replicas {self.max_replicas}")
        return self
