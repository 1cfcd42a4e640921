"""A preflight with everything that this machine can find out for it."""

from __future__ import annotations

from collections.abc import Callable

from loopline import containers
from loopline.bundle import read_record_only
from loopline.cloud.costs import estimate
from loopline.core import store
from loopline.core.errors import UnknownName
from loopline.core.records import CloudSettings, ContractRun, Preflight, PreflightCheck
from loopline.core.workspace import Workspace
from loopline.google import Google, open_google
from loopline.preflight import Facts, ImageFacts
from loopline.preflight import preflight as ask
from loopline.subjects import bundle_folder

# Which contract a target holds a server to.
_CONTRACTS = {"cloudrun": "cloudrun", "vertex-endpoint": "vertex-prediction", "kubernetes": "kubernetes"}


def preflight(
    target: str,
    settings: CloudSettings,
    *,
    model: str | None = None,
    tries: bool = True,
    workspace: Workspace | None = None,
    google: Callable[[], Google] = open_google,
) -> Preflight:
    """What would stop a deployment, each with what mends it; nothing is built, and nothing costs.

    With a `model` its server is tried under the target's contract, once for a bundle (`tries` False: not at all), and
    the context of the project in this folder is looked at. Writes the verdict of the contract to the workspace's
    cache. Raises `UnknownName`.
    """
    place = workspace or Workspace.default()
    try:
        cost = estimate(target, settings, workspace=place)
    except UnknownName:
        # Of a region that the table lacks; the checks go on without a price.
        cost = None
    facts = Facts(
        settings,
        image=None if model is None else ImageFacts(settings.platform),
        contract=None if model is None else _contract(target, model, settings, place, tries=tries),
        cost=cost,
        findings=() if model is None else _context(place),
    )
    return ask(target, facts, open_google=google, model=model)


def _contract(
    target: str, model: str, settings: CloudSettings, workspace: Workspace, *, tries: bool
) -> ContractRun | None:
    """The verdict of the model's server under the target's contract: kept, or made now."""
    name = _CONTRACTS.get(target)
    if name is None:
        return None
    digest = read_record_only(bundle_folder(model, workspace)).digest
    kept = workspace.cache / "contracts" / f"{name}-{digest[:12]}-{settings.service.memory_mib}.json"
    if kept.is_file():
        return store.read_record(ContractRun, kept)
    if not tries:
        return None
    run = containers.run_contract(name, model, memory_mib=settings.service.memory_mib, workspace=workspace)
    store.write_record(kept, run)
    return run


def _context(workspace: Workspace) -> tuple[PreflightCheck, ...]:
    """What the guard refuses, as checks; one that passed where it refuses nothing."""
    problems = containers.context_problems(workspace=workspace)
    if not problems:
        return (PreflightCheck(name="build context", status="passed", found="nothing in it must stay here"),)
    return tuple(
        PreflightCheck(
            name="build context",
            status="failed",
            found=f"'{problem.path}' {problem.sentence}",
            why="Whoever has the image has everything that was sent to build it.",
            fix=f"echo '{problem.ignore_line}' >> .dockerignore",
        )
        for problem in problems
    )
