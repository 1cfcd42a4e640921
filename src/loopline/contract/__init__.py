"""Contract: a service or a job started as a platform would start it, and a verdict with figures."""

from __future__ import annotations

from loopline.contract.asking import example_body
from loopline.contract.catalogue import CONTRACTS, read_contract
from loopline.contract.isolation import Subject
from loopline.contract.job import run_job
from loopline.contract.service import run_service

__all__ = ["CONTRACTS", "Subject", "example_body", "read_contract", "run_job", "run_service"]
