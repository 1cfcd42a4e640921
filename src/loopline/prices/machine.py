"""What a machine's name says: family, processors, memory, cards."""

from __future__ import annotations

import re
from dataclasses import dataclass

from loopline.core.errors import InputError

_NAME = re.compile(r"([a-z]\d[a-z]?)-(standard|highmem|highcpu)-(\d+)")
# GiB per processor. https://cloud.google.com/compute/docs/machine-resource
_GIB_PER_CPU = {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0}
_GIB_PER_CPU_N1 = {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9}
# G2 machines hold their cards: one, but for these numbers of processors.
_CARDS_OF_G2 = {24: 2, 48: 4, 96: 8}


@dataclass(frozen=True)
class Machine:
    """A predefined type; `accelerator` is the card that is part of it, where one is."""

    name: str
    family: str
    num_cpus: int
    memory_gib: float
    accelerator: str | None = None
    num_accelerators: int = 0


def parse_machine(name: str) -> Machine:
    """What `n1-standard-4` has; raises `InputError` for another form."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(
            f"machine '{name}' given; expected a predefined type such as n1-standard-4.",
            next_command="gcloud compute machine-types list --zones=ZONE",
        )
    family, kind, cpus = match[1], match[2], int(match[3])
    gib = cpus * (_GIB_PER_CPU_N1 if family == "n1" else _GIB_PER_CPU)[kind]
    if family == "g2":
        return Machine(name, family, cpus, gib, "nvidia-l4", _CARDS_OF_G2.get(cpus, 1))
    return Machine(name, family, cpus, gib)
