"""The contracts that Loopline knows: a closed table of names, each a file of facts beside this module."""

from __future__ import annotations

import tomllib
from pathlib import Path

from loopline.core.errors import UnknownName
from loopline.core.records.contract import Contract
from loopline.core.validation import validated

CONTRACTS = ("cloudrun", "vertex-prediction", "vertex-training", "kubernetes", "lambda")
_FOLDER = Path(__file__).parent / "contracts"


def read_contract(name: str) -> Contract:
    """The contract of that name; raises `UnknownName` with the known names for another."""
    if name not in CONTRACTS:
        raise UnknownName("contract", name, CONTRACTS)
    return validated(Contract, tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8")), where=name)
