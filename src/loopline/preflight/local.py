"""What this machine can tell without asking anybody: settings, image, contract, cost."""

from __future__ import annotations

from collections.abc import Iterator

from loopline.core.records import PreflightCheck
from loopline.preflight.check import failed, passed, warned
from loopline.preflight.facts import Facts

_MIB = 1 << 20
# Cloud Run's, per instance: https://cloud.google.com/run/quotas
_LARGEST_IMAGE_BYTES = 9_900_000_000
_SETTINGS = "[tool.loopline.cloud] in pyproject.toml"
_ON_GOOGLE = {"cloudrun", "vertex-endpoint", "vertex", "vm"}
_TRAINING = {"vertex", "vm"}


def check_settings(target: str, facts: Facts) -> Iterator[PreflightCheck]:
    """Is everything named that the target needs?"""
    settings = facts.settings
    missing = []
    if target in _ON_GOOGLE and not settings.project:
        missing.append("project")
    if target in {*_TRAINING, "vertex-endpoint"} and not settings.bucket:
        missing.append("bucket")
    if missing:
        yield failed(
            "settings",
            f"no {' and no '.join(missing)} named",
            why=f"{target} needs to know where.",
            fix=f'add {missing[0]} = "…" under {_SETTINGS}',
        )
    else:
        yield passed("settings", f"{settings.project or 'no project'}, {settings.region}")


def check_findings(_target: str, facts: Facts) -> Iterator[PreflightCheck]:
    """What the guard over the build's context found."""
    yield from facts.findings


def check_image(target: str, facts: Facts) -> Iterator[PreflightCheck]:
    """Is the image for the right processor, does its server listen where it is asked, is it of a size that starts?"""
    image, settings = facts.image, facts.settings
    if image is None:
        return
    if image.platform != settings.platform:
        yield failed(
            "image platform",
            f"built for {image.platform}; {target} runs {settings.platform}",
            why="A program for another processor ends with 'exec format error' before its first line.",
            fix=f"docker build --platform={settings.platform} …, as `loopline image` does",
        )
    else:
        yield passed("image platform", image.platform)
    if target in _TRAINING:
        return
    if image.port is not None and image.port != settings.service.port:
        yield failed(
            "port",
            f"the server listens on {image.port}; it is asked on {settings.service.port}",
            why="A container that does not listen on the port that it is given is never sent a request.",
            fix=f"set port = {image.port} under [tool.loopline.cloud.service], or listen on $PORT",
        )
    else:
        yield passed("port", str(image.port or f"{settings.service.port}, from PORT"))
    if image.num_bytes is not None and image.num_bytes > _LARGEST_IMAGE_BYTES:
        yield failed(
            "image size",
            f"{image.num_bytes / 1e9:.1f} GB",
            why="Larger images are refused, and each start would pull it.",
            fix="loopline image serve, which leaves torch out",
        )


def check_contract(target: str, facts: Facts) -> Iterator[PreflightCheck]:
    """Did the server hold under the platform's contract on this machine, and how much memory did it take?"""
    run = facts.contract
    if run is None:
        if target in {"cloudrun", "vertex-endpoint"}:
            yield warned(
                "contract",
                "the server was not tried under the platform's rules yet",
                why="Wrong ports, missing files and too little memory show there in seconds.",
                fix=f"loopline run --contract {'cloudrun' if target == 'cloudrun' else 'vertex-prediction'} MODEL",
            )
        return
    for check in run.checks:
        if check.passed is False and check.name != "memory":
            yield failed(
                f"contract: {check.name}",
                check.found,
                why=f"It does not hold on this machine under the rules of {run.contract}, so it will not there.",
                fix=check.fix or f"loopline run --contract {run.contract} {run.subject}",
            )
    yield _memory(facts)


def _memory(facts: Facts) -> PreflightCheck:
    run, limit_mib = facts.contract, facts.settings.service.memory_mib
    needed = None if run is None else run.peak_memory_bytes
    if run is None or needed is None:
        return warned("memory", "not measured", why="Too little memory ends a container with 137, and tells nobody.")
    fit_mib = run.smallest_fit_mib or -(-needed // _MIB)
    if fit_mib > limit_mib:
        return failed(
            "memory",
            f"needs about {needed / _MIB:.0f} MiB, limit {limit_mib} MiB",
            why="A container over its limit is ended with 137, in the middle of whatever it was answering.",
            fix=f"set memory_mib = {fit_mib} under [tool.loopline.cloud.service] in pyproject.toml",
        )
    return passed("memory", f"needs about {needed / _MIB:.0f} MiB, limit {limit_mib} MiB")


def check_cost(target: str, facts: Facts) -> Iterator[PreflightCheck]:
    """Does what it may cost fit the budget?"""
    cost, budget = facts.cost, facts.settings.budget_usd
    if cost is None:
        return
    most = cost.max_usd_per_run if target in _TRAINING else 30 * cost.usd_per_idle_day
    most = most or 0.0
    what = "a run that takes all its time" if target in _TRAINING else "30 days in which nobody asks"
    if budget is None:
        yield passed("cost", f"{what}: {most:.2f} USD (prices of {cost.prices_as_of}); no budget is set")
    elif most > budget:
        mends = "max_hours" if target in _TRAINING else "min_instances"
        yield failed(
            "cost",
            f"{what}: {most:.2f} USD; the budget is {budget:.2f} USD",
            why="Nobody at the cloud stops at your budget.",
            fix=f"lower {mends} or the machine under {_SETTINGS}, or raise it: --budget {most:.0f}",
        )
    else:
        yield passed("cost", f"{what}: {most:.2f} of {budget:.2f} USD (prices of {cost.prices_as_of})")
