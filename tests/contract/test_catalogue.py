"""The contracts are facts that hold together, and every one says where they were read."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from loopline.contract import CONTRACTS, read_contract
from loopline.core.errors import InputError, UnknownName
from loopline.core.records import Contract


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_contract_reads(name: str) -> None:
    """Its name is its file's, its default memory is among its sizes, its sources are pages."""
    contract = read_contract(name)
    assert contract.name == name
    assert contract.memory.default_mib in contract.memory.sizes_mib
    assert all(source.startswith("https://") for source in contract.sources)


def test_an_unknown_contract_names_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"contract 'cloudrum' does not exist; known: cloudrun, .* Did you mean"):
        read_contract("cloudrum")


def test_the_smallest_size_that_fits() -> None:
    memory = read_contract("cloudrun").memory
    assert [memory.smallest_fit_mib(mib << 20) for mib in (100, 512, 513, 780)] == [512, 512, 1024, 1024]
    assert memory.smallest_fit_mib(1 << 50) is None


def test_parts_that_disagree_are_refused() -> None:
    """A service has a port and routes, a job has neither, sizes ascend."""
    facts = read_contract("cloudrun").model_dump()
    for change in ({"port": None}, {"kind": "job"}, {"memory": {**facts["memory"], "sizes_mib": (1024, 512)}}):
        with pytest.raises(ValidationError):
            Contract.model_validate({**facts, **change})


def test_a_job_is_no_service() -> None:
    with pytest.raises(InputError, match="'vertex-training' is one of jobs; expected one of services"):
        read_contract("vertex-training").service_rules()
