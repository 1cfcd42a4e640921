"""`loopline deploy`, `preflight`, `smoke` and `cost`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.core.records import CloudSettings, CostEstimate, Plan, Preflight, TargetName

FAULTS_EXIT_CODE = 3
# Where a Google-issued identity token lies that a smoke test shows; never on the command line.
TOKEN_VARIABLE = "LOOPLINE_SMOKE_TOKEN"  # noqa: S105 - the variable's name
_TARGETS = ["cloudrun", "vertex-endpoint", "kubernetes", "compose"]
_SETTING = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of [tool.loopline.cloud], as service.memory_mib=2048; repeatable.",
)
_BUDGET = click.option("--budget", "budget_usd", type=float, help="US dollars a month, or for a run; more is refused.")


def settings_of(changes: Sequence[str], budget_usd: float | None) -> CloudSettings:
    """The project's settings with the changes of one command."""
    from loopline.cloud import read_settings

    budget = () if budget_usd is None else (f"budget_usd={budget_usd}",)
    return read_settings(changes=(*changes, *budget))


def print_plan(plan: Plan) -> None:
    """What would be written, done and paid."""
    from loopline.cli.output import print_table

    click.echo(f"{plan.subject} → {plan.target}, files in {plan.folder}:")
    for name in plan.files:
        click.echo(f"  {name}")
    click.echo()
    rows = [(str(number), step.title, step.kind, step.text) for number, step in enumerate(plan.steps, 1)]
    print_table(("", "step", "by", "what"), rows)
    click.echo(f"\n{cost_sentence(plan.cost)}")


def cost_sentence(cost: CostEstimate | None) -> str:
    """An estimate in one line."""
    if cost is None:
        return "cost: your own machines."
    parts = [
        f"{cost.usd_per_hour:.4f} USD per hour of work",
        f"{cost.usd_per_idle_day:.2f} USD per idle day",
    ]
    if cost.usd_per_1000_requests is not None:
        parts.append(f"{cost.usd_per_1000_requests:.4f} USD per 1,000 requests")
    if cost.max_usd_per_run is not None:
        parts = [parts[0], f"at most {cost.max_usd_per_run:.2f} USD for the run"]
    return f"cost: {', '.join(parts)} (list prices of {cost.prices_as_of}, {cost.region})."


@click.command()
@click.argument("target", type=click.Choice([*_TARGETS, "vertex", "vm"]))
@click.argument("model", required=False)
@_SETTING
@_BUDGET
@click.option("--try/--no-try", "tries", default=True, help="Try the server under the target's contract.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_context
def preflight(
    ctx: click.Context,
    target: str,
    model: str | None,
    changes: tuple[str, ...],
    budget_usd: float | None,
    tries: bool,
    as_json: bool,
) -> None:
    """Find out what would stop TARGET, before anything is built or paid: with MODEL its server and image, too.

    Exits with 0 where nothing would, 3 where something would, 1 on an error. Nothing is changed anywhere.
    """
    from loopline import cloud
    from loopline.cli.output import print_json

    found = cloud.preflight(target, settings_of(changes, budget_usd), model=model, tries=tries, workspace=ctx.obj)
    if as_json:
        print_json(found)
    else:
        _print_preflight(found)
    ctx.exit(0 if found.passed else FAULTS_EXIT_CODE)


def _print_preflight(found: Preflight) -> None:
    signs = {"passed": "✓", "failed": "✗", "warned": "!", "unknown": "?"}
    for check in found.checks:
        click.echo(f"{signs[check.status]} {check.name}: {check.found}")
        if check.status in ("failed", "warned") and check.why:
            click.echo(f"    {check.why}")
        if check.status != "passed" and check.fix:
            click.echo(f"    next: {check.fix}")
    count = sum(check.status == "failed" for check in found.checks)
    verdict = "ready" if found.passed else f"{count} would stop it"
    click.echo(f"\n{found.target}: {len(found.checks)} checks in {found.duration_s:.1f} s, {verdict}.")


@click.group()
def deploy() -> None:
    """Deploy a model, see how it does, go back, remove it; settings: `[tool.loopline.cloud]` of pyproject.toml."""


def _target(name: TargetName, help_text: str) -> click.Command:
    """`loopline deploy TARGET MODEL`."""

    @click.command(name, help=help_text)
    @click.argument("model")
    @click.option("--share", "share_percent", default=100, show_default=True, help="Percent of the traffic it gets.")
    @click.option("--image", help="An image that is in a registry already; otherwise one is built and pushed.")
    @click.option("--dry-run", is_flag=True, help="Write every file, list every step, send nothing.")
    @_SETTING
    @_BUDGET
    @click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
    @click.pass_obj
    def command(
        workspace: Workspace,
        model: str,
        share_percent: int,
        image: str | None,
        dry_run: bool,
        changes: tuple[str, ...],
        budget_usd: float | None,
        as_json: bool,
    ) -> None:
        from loopline import cloud
        from loopline.cli.output import print_json

        release = cloud.Release(name, model, settings_of(changes, budget_usd), share_percent, image)
        if dry_run:
            plan = cloud.plan_deployment(release, workspace=workspace)
            print_json(plan) if as_json else print_plan(plan)
            return
        done = cloud.deploy(release, workspace=workspace)
        if as_json:
            print_json(done)
            return
        click.echo(f"{done.model} serves {done.share_percent}% at {done.url}")
        click.echo(f"{cost_sentence(done.cost)}\nnext: loopline deploy status {done.name}")

    return command


_HELP: dict[TargetName, str] = {
    "cloudrun": "Deploy MODEL to Cloud Run: a new revision gets traffic once it reproduces the bundle.",
    "vertex-endpoint": "Deploy MODEL to a Vertex AI endpoint, beside what serves there until it reproduces the bundle.",
    "kubernetes": "Deploy MODEL to the cluster that kubectl reaches: Deployment, Service, HPA, or a RayService.",
    "compose": "Deploy MODEL to this host with Docker Compose: server, Prometheus, Grafana, MLflow, PostgreSQL.",
}
for _name, _text in _HELP.items():
    deploy.add_command(_target(_name, _text))


@deploy.command("status")
@click.argument("name", required=False)
@click.pass_obj
def status(workspace: Workspace, name: str | None) -> None:
    """List what was deployed from here, or ask how NAME does."""
    from loopline import cloud
    from loopline.cli.output import print_table

    if name is not None:
        print_table(("", name), list(cloud.deployment_status(name, workspace=workspace).items()))
        return
    rows = [
        (
            item.name,
            item.target,
            item.model,
            item.bundle_digest[:12],
            item.status,
            f"{item.share_percent}%",
            item.url or "",
        )
        for item in cloud.list_deployments(workspace=workspace)
    ]
    if not rows:
        click.echo("nothing is deployed from here.\nnext: loopline preflight cloudrun MODEL")
        return
    print_table(("name", "target", "model", "bundle", "status", "share", "address"), rows)


@deploy.command("logs")
@click.argument("name")
@click.pass_obj
def logs(workspace: Workspace, name: str) -> None:
    """Show the last lines that deployment NAME wrote."""
    from loopline import cloud

    for line in cloud.deployment_logs(name, workspace=workspace):
        click.echo(line)


@deploy.command("rollback")
@click.argument("name")
@click.pass_obj
def rollback(workspace: Workspace, name: str) -> None:
    """Give all of NAME's traffic back to what served before."""
    from loopline import cloud

    done = cloud.rollback(name, workspace=workspace)
    click.echo(f"{done.name} serves {done.model} again, bundle {done.bundle_digest[:12]}.")


@deploy.command("destroy")
@click.argument("name")
@click.confirmation_option(prompt="Remove it, and whoever asks it gets no answer any more?", help="Do not ask.")
@click.pass_obj
def destroy(workspace: Workspace, name: str) -> None:
    """Remove everything that deployment NAME made; images, data and tracked runs stay."""
    from loopline import cloud

    cloud.destroy(name, workspace=workspace)
    click.echo(f"{name} is gone.\nnext: loopline cost")


@click.command()
@click.argument("url")
@click.argument("model")
@click.option("--count", "num_inputs", type=int, help="Reference inputs to ask  [default: all].")
@click.pass_obj
def smoke(workspace: Workspace, url: str, model: str, num_inputs: int | None) -> None:
    """Ask the server at URL for MODEL's reference inputs; its answers must be those of the bundle.

    An API key of the server is read from $LOOPLINE_API_KEY, an identity token that its platform asks for from
    $LOOPLINE_SMOKE_TOKEN.
    """
    from loopline import cloud

    done = cloud.prove(url, model, num_inputs=num_inputs, token=os.environ.get(TOKEN_VARIABLE), workspace=workspace)
    click.echo(
        f"{url} reproduces {done.num_inputs} reference inputs of bundle {done.bundle.digest[:12]}; "
        f"the worst is off by {done.max_abs_error:.2g}."
    )


@click.command()
@_SETTING
@click.option("--refresh", is_flag=True, help="Ask for today's prices of the region, and keep them in the workspace.")
@click.option("--json", "as_json", is_flag=True, help="Print records as JSON.")
@click.pass_obj
def cost(workspace: Workspace, changes: tuple[str, ...], refresh: bool, as_json: bool) -> None:
    """List what runs in the project because of us, and what it costs by the hour."""
    from loopline import cloud
    from loopline.cli.output import print_json, print_table

    settings = settings_of(changes, None)
    if refresh:
        table = cloud.refresh_prices(settings, workspace=workspace)
        click.echo(f"prices of {settings.region} are those of {table.as_of}.")
        return
    found = cloud.running(settings, workspace=workspace)
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo(f"nothing of ours runs in {settings.project}.")
        return
    rows = [
        (
            item.kind,
            item.name,
            item.where,
            item.state,
            "" if item.since is None else f"{item.since:%Y-%m-%d %H:%M}",
            f"{item.usd_per_hour:.4f}",
        )
        for item in found
    ]
    print_table(("what", "name", "where", "state", "since (UTC)", "USD per hour"), rows)
    total = sum(item.usd_per_hour for item in found)
    click.echo(f"\n{total:.4f} USD per hour, {24 * total:.2f} per day.")
