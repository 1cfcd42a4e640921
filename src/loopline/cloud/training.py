"""Training on a machine that is not this one, with the same overrides, and its runs back home."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from pathlib import Path

from loopline import containers
from loopline.cloud.rollouts import default_tools
from loopline.core import store
from loopline.core.errors import InputError
from loopline.core.records import CloudJob, CloudSettings, CostEstimate, PlaceName, Plan, Step, utc_now
from loopline.core.workspace import Workspace
from loopline.deployment import Tools
from loopline.deployment.job_places import open_job_place
from loopline.deployment.jobs import follow, submit
from loopline.deployment.working import data_url
from loopline.image import ImageOptions
from loopline.image.engines import find_engine
from loopline.prices import job_cost, read_prices
from loopline.storage import open_place, push_folder

_BODIES: dict[PlaceName, str] = {
    "vertex": "custom-job.json",
    "vm": "instance.json",
    "kubernetes": "rayjob.json",
}


def plan_training(
    place: PlaceName,
    overrides: Sequence[str],
    settings: CloudSettings,
    *,
    image: str | None = None,
    config_dir: Path | None = None,
    workspace: Workspace | None = None,
) -> tuple[CloudJob, Plan]:
    """The job that `train_on` would start, with its files written and its steps listed; sends nothing.

    Raises `ConfigError` for overrides that do not compose and `InputError` where project or bucket are not named.
    """
    # Brings torch, which nobody who only deploys should wait for.
    from loopline.training.compose import compose

    here = workspace or Workspace.default()
    if settings.project is None or settings.bucket is None:
        raise InputError(
            "a training elsewhere needs a project and a bucket.",
            next_command=f"loopline train --on {place} --dry-run --set project=PROJECT --set bucket=BUCKET",
        )
    dataset = compose(overrides, config_dir=config_dir).data.name
    settings, cost = _within_budget(place, settings, here)
    job_id = f"{utc_now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    job = CloudJob(
        job_id=job_id,
        place=place,
        status="submitted",
        overrides=tuple(overrides),
        dataset=dataset,
        url=f"gs://{settings.bucket}/jobs/{job_id}",
        image=image or settings.image(f"{(Path.cwd().name or 'project').lower()}-train", _tag()),
        settings=settings,
        cost=cost,
        submitted_at=utc_now(),
    )
    folder = here.jobs / job.job_id
    body = open_job_place(place).body(job)
    store.write_text(folder / _BODIES[place], json.dumps(body, indent=2) + "\n")
    steps = [
        Step(title="the snapshot, unless it is there", kind="command", text=f"loopline store push data {dataset} …"),
        *([] if image else _image_steps(job)),
        Step(title="the machine", kind="request", text=open_job_place(place).request(job)),
        Step(title="follow it; its runs come home", kind="check", text=f"loopline job follow {job.job_id}"),
    ]
    plan = Plan(
        target=place,
        name=job.job_id,
        subject=" ".join(overrides) or dataset,
        folder=str(folder),
        files=(_BODIES[place],),
        steps=tuple(steps),
        cost=None if place == "kubernetes" else cost,
    )
    return job, plan


def train_on(
    place: PlaceName,
    overrides: Sequence[str],
    settings: CloudSettings,
    *,
    image: str | None = None,
    workspace: Workspace | None = None,
    tools: Tools | None = None,
) -> CloudJob:
    """Trains elsewhere and waits for it; the run is in this workspace afterwards.

    Whoever interrupts this stops no machine: `loopline job follow` goes on waiting, `loopline job stop` ends it.
    Raises what `plan_training` does, and `StateError` where the job failed.
    """
    here, tools = workspace or Workspace.default(), tools or default_tools()
    job, _ = plan_training(place, overrides, settings, image=image, workspace=here)
    sent = push_folder(here.data / job.dataset, open_place(data_url(job)))
    tools.say(f"snapshot {job.dataset}: {sent.num_files} files sent, {sent.num_present} were there")
    if image is None:
        tools.say(f"building {job.image}")
        containers.image("train", ImageOptions(job.image, platform=settings.platform), workspace=here)
        tools.run([find_engine().name, "push", job.image])
    job = submit(job, here, tools)
    tools.say(f"job {job.job_id} at {job.url}; at most {job.cost.max_usd_per_run or 0:.2f} USD")
    return follow(job, here, tools)


def _within_budget(
    place: PlaceName, settings: CloudSettings, workspace: Workspace
) -> tuple[CloudSettings, CostEstimate]:
    """The settings with a longest time that the budget pays for, and what that costs."""
    table = read_prices(workspace)
    cost = job_cost(place, settings, table)
    if settings.budget_usd is None or not cost.usd_per_hour:
        return settings, cost
    hours = min(settings.job.max_hours, settings.budget_usd / cost.usd_per_hour)
    settings = settings.model_copy(update={"job": settings.job.model_copy(update={"max_hours": hours})})
    return settings, job_cost(place, settings, table)


def _image_steps(job: CloudJob) -> list[Step]:
    build = f"loopline image train --tag {job.image} --platform {job.settings.platform}"
    return [
        Step(title="the image", kind="command", text=build),
        Step(title="to the registry", kind="command", text=f"docker push {job.image}"),
    ]


def _tag() -> str:
    from loopline.image.building import revision_of

    return revision_of(Path())[:12].replace("unknown", "latest")
