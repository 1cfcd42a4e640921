"""From a registered model to an address that answers, remembered so that it can be asked, rolled back and removed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loopline import containers
from loopline.bundle import read_bundle
from loopline.core import store
from loopline.core.errors import GateRefused, LooplineError, UnknownName
from loopline.core.records import CloudSettings, Deployment, Plan, Step, TargetName, utc_now
from loopline.core.workspace import Workspace
from loopline.deployment import Order, Outcome, Smoke, Tools, http_ask, open_target, smoke
from loopline.deployment.cloudrun import identity_token
from loopline.deployment.smoke import API_KEY_VARIABLE
from loopline.deployment.vertex_endpoint import vertex_ask
from loopline.google import open_google
from loopline.image import ImageOptions
from loopline.image.engines import find_engine
from loopline.prices import read_prices, service_cost
from loopline.subjects import bundle_folder

# What Ray Serve imports in the serving image, where the cluster runs Ray.
_RAY_APPLICATION = "loopline.serving.on_ray:application"
_RECORD, _HISTORY = "deployment.json", "history.jsonl"


@dataclass(frozen=True)
class Release:
    """Which model goes where, with how much of the traffic; `image` is one that is in a registry already."""

    target: TargetName
    model: str
    settings: CloudSettings
    share_percent: int = 100
    image: str | None = None


def default_tools() -> Tools:
    """This machine's credentials, commands and clock."""
    return Tools(google=open_google)


def plan_deployment(release: Release, *, workspace: Workspace | None = None) -> Plan:
    """Writes every file that `deploy` would use and lists every step; sends nothing."""
    place = workspace or Workspace.default()
    order, target = _order(release, place), release.target
    goal = open_target(target)
    folder, files = place.deployments / order.name / target, goal.files(order)
    for name, text in files.items():
        store.write_text(folder / name, text)
    for path in folder.rglob("*"):
        # What an older plan wrote and this one does not must not be applied with it.
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
    plan = Plan(
        target=target,
        name=order.name,
        subject=release.model,
        folder=str(folder),
        files=tuple(files),
        steps=(*([] if release.image else _image_steps(target, order)), *goal.steps(order)),
        cost=service_cost(target, release.settings, read_prices(place)),
    )
    store.write_record(folder.with_suffix(".plan.json"), plan)
    return plan


def deploy(release: Release, *, workspace: Workspace | None = None, tools: Tools | None = None) -> Deployment:
    """Rolls a model out and proves it; what served before serves on where anything fails.

    An image that the release does not name is built and pushed. The same release again changes nothing. Writes files,
    record and history to the workspace's `deployments/NAME`. Raises `GateRefused` where it costs more than the budget
    and whatever the target raises.
    """
    place, tools = workspace or Workspace.default(), tools or default_tools()
    plan = plan_deployment(release, workspace=place)
    order, target = _order(release, place), release.target
    _check_budget(plan, release.settings.budget_usd)
    if release.image is None:
        _build(target, order, place, tools)
    facts = _facts(target, order, plan)
    try:
        outcome = open_target(target).deploy(
            order, plan.folder, tools, lambda url: _prove_at(url, target, order, tools)
        )
    except LooplineError as error:
        if order.before is None:
            _remember(Deployment.model_validate({**facts, "status": "failed", "error": error.message}), place)
        raise
    return _remember(Deployment.model_validate({**facts, **_of(outcome), "status": "serving"}), place)


def list_deployments(*, workspace: Workspace | None = None) -> list[Deployment]:
    """What was deployed from here, by name."""
    place = workspace or Workspace.default()
    return [store.read_record(Deployment, path) for path in sorted(place.deployments.glob(f"*/{_RECORD}"))]


def find_deployment(name: str, *, workspace: Workspace | None = None) -> Deployment:
    """The deployment of a name; raises `UnknownName`."""
    known = {item.name: item for item in list_deployments(workspace=workspace)}
    if name not in known:
        raise UnknownName("deployment", name, known, next_command="loopline deploy status")
    return known[name]


def status(name: str, *, workspace: Workspace | None = None, tools: Tools | None = None) -> dict[str, str]:
    """What the target says of a deployment now, as rows."""
    found = find_deployment(name, workspace=workspace)
    return open_target(found.target).status(found, tools or default_tools())


def logs(name: str, *, workspace: Workspace | None = None, tools: Tools | None = None) -> Iterator[str]:
    """The last lines that a deployment wrote, oldest first."""
    found = find_deployment(name, workspace=workspace)
    yield from open_target(found.target).logs(found, tools or default_tools())


def rollback(name: str, *, workspace: Workspace | None = None, tools: Tools | None = None) -> Deployment:
    """Gives all traffic back to what served before; raises `StateError` where nothing did."""
    place = workspace or Workspace.default()
    found = find_deployment(name, workspace=place)
    outcome = open_target(found.target).rollback(found, tools or default_tools())
    before = next((old for old in reversed(_history(name, place)) if old.revision == outcome.revision), found)
    changes = {**_of(outcome), "status": "serving", "share_percent": 100, "deployed_at": utc_now()}
    return _remember(before.model_copy(update=changes), place)


def destroy(name: str, *, workspace: Workspace | None = None, tools: Tools | None = None) -> Deployment:
    """Removes everything that a deployment made; its record stays, as destroyed."""
    place = workspace or Workspace.default()
    found = find_deployment(name, workspace=place)
    open_target(found.target).destroy(found, tools or default_tools())
    return _remember(found.model_copy(update={"status": "destroyed", "url": None, "deployed_at": utc_now()}), place)


def prove(
    url: str, model: str, *, num_inputs: int | None = None, token: str | None = None, workspace: Workspace | None = None
) -> Smoke:
    """Asks an address for a bundle's reference inputs and compares; raises `SkewError` where it answers otherwise.

    Where the server wants a key of its own, it is read from the variable `LOOPLINE_API_KEY`.
    """
    folder = bundle_folder(model, workspace or Workspace.default())
    ask = http_ask(url, read_bundle(folder), token=token, api_key=os.environ.get(API_KEY_VARIABLE))
    return smoke(ask, folder, num_inputs=num_inputs)


def _order(release: Release, workspace: Workspace) -> Order:
    folder = bundle_folder(release.model, workspace)
    bundle, model, settings = read_bundle(folder), release.model, release.settings
    # Every target takes lower case letters, digits and dashes.
    name = re.sub(r"[^a-z0-9]+", "-", (model.partition("@")[0] if "@" in model else bundle.name).lower()).strip("-")
    path = workspace.deployments / name / _RECORD
    before = store.read_record(Deployment, path) if path.is_file() else None
    if before is not None and (before.target != release.target or before.status != "serving"):
        before = None
    is_own = release.target == "compose" or settings.project is None
    tag = f"{name}:{bundle.digest[:12]}" if is_own else settings.image(name, bundle.digest[:12])
    return Order(
        name=name,
        model=model,
        bundle=bundle,
        bundle_folder=folder.resolve(),
        image=release.image or tag,
        settings=settings,
        share_percent=release.share_percent,
        before=before,
        ray_application=_RAY_APPLICATION,
    )


def _facts(target: TargetName, order: Order, plan: Plan) -> dict[str, object]:
    return {
        "name": order.name,
        "target": target,
        "model": order.model,
        "bundle_digest": order.bundle.digest,
        "image": order.image,
        "share_percent": order.share_percent,
        "settings": order.settings,
        "cost": plan.cost,
        "deployed_at": utc_now(),
    }


def _of(outcome: Outcome) -> dict[str, str | None]:
    return {"url": outcome.url, "revision": outcome.revision, "previous_revision": outcome.previous_revision}


def _check_budget(plan: Plan, budget_usd: float | None) -> None:
    """Nothing is sent that costs more in a month in which nobody asks than the budget."""
    if plan.cost is None or budget_usd is None:
        return
    month = 30 * plan.cost.usd_per_idle_day
    if month > budget_usd:
        raise GateRefused(
            f"30 days of {plan.target} in which nobody asks cost {month:.2f} USD; the budget is {budget_usd:.2f}.",
            next_command=f"loopline deploy {plan.target} {plan.subject} --budget {month:.0f}",
        )


def _image_steps(target: TargetName, order: Order) -> list[Step]:
    build = f"loopline image serve {order.model} --tag {order.image} --platform {order.settings.platform}"
    steps = [Step(title="the image, unless it is there", kind="command", text=build)]
    if target != "compose":
        steps.append(Step(title="to the registry", kind="command", text=f"docker push {order.image}"))
    return steps


def _build(target: TargetName, order: Order, workspace: Workspace, tools: Tools) -> None:
    """Builds the image behind the guard, and pushes it where a platform is to pull it."""
    tools.say(f"building {order.image}")
    options = ImageOptions(order.image, platform=order.settings.platform)
    containers.image("serve", options, model=order.model, workspace=workspace)
    if target != "compose":
        tools.run([find_engine().name, "push", order.image])


def _prove_at(url: str, target: TargetName, order: Order, tools: Tools) -> None:
    if target == "vertex-endpoint":
        done = smoke(vertex_ask(tools.google(), url, order), order.bundle_folder)
    else:
        is_closed = target == "cloudrun" and not order.settings.service.public
        token = identity_token(tools, url) if is_closed else None
        api_key = os.environ.get(API_KEY_VARIABLE)
        done = smoke(http_ask(url, order.bundle, token=token, api_key=api_key), order.bundle_folder)
    tools.say(f"{done.num_inputs} reference inputs are reproduced; the worst is off by {done.max_abs_error:.2g}")


def _remember(deployment: Deployment, workspace: Workspace) -> Deployment:
    """The record, and a line in the history, which keeps what every revision was."""
    folder = workspace.deployments / deployment.name
    lines = [*_lines(folder / _HISTORY), store.canonical_json(deployment.model_dump(mode="json")).decode()]
    store.write_text(folder / _HISTORY, "".join(f"{line}\n" for line in lines))
    store.write_record(folder / _RECORD, deployment)
    return deployment


def _history(name: str, workspace: Workspace) -> list[Deployment]:
    return [Deployment.model_validate_json(line) for line in _lines(workspace.deployments / name / _HISTORY)]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
