"""Contract: a service or a job started as a platform would start it, and a verdict with figures."""

from __future__ import annotations

from loopline.contract.catalogue import CONTRACTS, read_contract

__all__ = ["CONTRACTS", "read_contract"]
