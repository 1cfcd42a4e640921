"""Memory as a verdict: what was needed, what was given, and what to type where that is too little."""

from __future__ import annotations

from typing import TypedDict

from loopline.core.records import Contract, ContractCheck
from loopline.core.records.contract import MIB


class MemoryFigures(TypedDict):
    """The figures of a `ContractRun` about memory."""

    peak_memory_bytes: int | None
    smallest_fit_mib: int | None


def memory_figures(contract: Contract, peak_bytes: int) -> MemoryFigures:
    """None for both where nothing could be measured."""
    fit = contract.memory.smallest_fit_mib(peak_bytes) if peak_bytes else None
    return {"peak_memory_bytes": peak_bytes or None, "smallest_fit_mib": fit}


def memory_check(contract: Contract, peak_bytes: int, limit_mib: int, *, killed: bool) -> ContractCheck:
    """Whether the peak fits into the limit; a command that was killed needs what it took without one."""
    if not peak_bytes:
        return ContractCheck(
            name="memory", passed=None, found="could not be measured: no system to ask, or ended at once"
        )
    needed_mib = peak_bytes / MIB
    fit = contract.memory.smallest_fit_mib(peak_bytes)
    if not killed and needed_mib <= limit_mib:
        smallest = "" if fit is None or fit >= limit_mib else f"; {fit} MiB would do"
        found = f"at most {needed_mib:.0f} MiB of {limit_mib}{smallest}"
        return ContractCheck(name="memory", passed=True, found=found)
    found = f"needs about {needed_mib:.0f} MiB, limit {limit_mib} MiB"
    if fit is None:
        fix = f"nothing of {contract.title} is large enough (at most {contract.memory.sizes_mib[-1]} MiB)"
    else:
        fix = "set " + contract.memory.advice.format(mib=fit, gib=f"{fit / 1024:g}", size=_size(fit))
    return ContractCheck(name="memory", passed=False, found=found, fix=fix)


def _size(mib: int) -> str:
    """`512Mi`, `1Gi`."""
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"


def image_checks(contract: Contract, image_bytes: int | None) -> list[ContractCheck]:
    """Whether an image is small enough for a platform that says how large one may be; none where nothing is to say."""
    limit = contract.limits.image_bytes
    if image_bytes is None:
        return []
    found = f"{image_bytes / 1e6:,.0f} MB uncompressed"
    if limit is not None and image_bytes > limit:
        found += f"; the platform takes {limit / 1e6:,.0f} MB"
        return [ContractCheck(name="image", passed=False, found=found, fix="install less: loopline image serve")]
    return [ContractCheck(name="image", passed=True, found=found)]
