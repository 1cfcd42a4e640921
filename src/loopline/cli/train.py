"""`loopline train` and `loopline verify-resume`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.core.records import PlaceName


@click.command()
@click.argument("overrides", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Print the resolved configuration as YAML and train nothing.")
@click.option("--resume", metavar="RUN", help="Go on with an interrupted or failed run, exactly where it was.")
@click.option(
    "--config-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with groups of your own, such as experiment/mine.yaml.",
)
@click.option("--on", "place", type=click.Choice(["vertex", "vm", "kubernetes"]), help="Train on a machine elsewhere.")
@click.option("--image", help="With --on: an image that is in a registry already; otherwise one is built and pushed.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="With --on: a setting, as job.spot=true.")
@click.option("--budget", "budget_usd", type=float, help="With --on: US dollars after which the machine stops.")
@click.option("--json", "as_json", is_flag=True, help="Print the run's record as JSON.")
@click.pass_obj
def train(
    workspace: Workspace,
    overrides: tuple[str, ...],
    dry_run: bool,
    resume: str | None,
    config_dir: Path | None,
    place: PlaceName | None,
    image: str | None,
    changes: tuple[str, ...],
    budget_usd: float | None,
    as_json: bool,
) -> None:
    """Train a network: OVERRIDES are Hydra's, as in `recipe=fashion trainer.max_epochs=3 model.width=32`.

    `recipe=` and `experiment=` choose files, `model=`, `optimizer=`, `scheduler=` and `tracking=` alternatives.
    """
    from loopline.cli.output import print_json, print_table
    from loopline.loop import train as train_run

    if place is not None:
        where = _Elsewhere(place, image, changes, budget_usd)
        _train_elsewhere(where, overrides, config_dir=config_dir, dry_run=dry_run, workspace=workspace)
        return
    if dry_run:
        from loopline.training.compose import as_yaml, compose

        click.echo(as_yaml(compose(overrides, config_dir=config_dir)), nl=False)
        return
    try:
        run = train_run(overrides, workspace=workspace, resume=resume, config_dir=config_dir)
    except KeyboardInterrupt:
        click.echo(f"next: loopline train --resume {resume or 'latest'}", err=True)
        raise
    if as_json:
        print_json(run)
        return
    print_table(("metric", "value"), [(name, f"{value:.4f}") for name, value in sorted(run.metrics.items())])
    click.echo(
        f"\nrun {run.run_id}: {run.num_steps:,} steps in {run.duration_s:,.1f} s; {workspace.runs / run.run_id}\n"
        f"next: loopline evaluate {run.run_id}"
    )


class _Elsewhere(NamedTuple):
    """What the options of `--on` say."""

    place: PlaceName
    image: str | None
    changes: tuple[str, ...]
    budget_usd: float | None


def _train_elsewhere(
    where: _Elsewhere, overrides: tuple[str, ...], *, config_dir: Path | None, dry_run: bool, workspace: Workspace
) -> None:
    from loopline import cloud
    from loopline.cli.deploy import print_plan, settings_of

    settings = settings_of(where.changes, where.budget_usd)
    if dry_run:
        _, plan = cloud.plan_training(
            where.place, overrides, settings, image=where.image, config_dir=config_dir, workspace=workspace
        )
        print_plan(plan)
        return
    job = cloud.train_on(where.place, overrides, settings, image=where.image, workspace=workspace)
    click.echo(f"next: loopline evaluate {job.run_id}")


@click.command("verify-resume")
@click.argument("overrides", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_context
def verify_resume(ctx: click.Context, overrides: tuple[str, ...], as_json: bool) -> None:
    """Train alone; train, kill with SIGKILL at a random step and resume; compare weights and metrics to the bit.

    Takes the overrides of `loopline train`. Exits with 0 where both are equal, 1 where they differ.
    """
    from loopline.cli.output import print_json, print_table
    from loopline.loop import verify_resume as verify

    proof = verify(overrides, workspace=ctx.obj)
    if as_json:
        print_json(proof)
    else:
        click.echo(
            f"killed at step {proof.killed_at_step} of {proof.num_steps} (seed {proof.seed}), resumed from step "
            f"{proof.resumed_from_step}:\n"
        )
        rows = [
            ("left alone", proof.alone_run_id, proof.alone_weights_digest),
            ("killed and resumed", proof.resumed_run_id, proof.resumed_weights_digest),
        ]
        print_table(("", "run", "SHA-256 of the weights"), rows)
        click.echo(
            f"\n{'equal' if proof.equal else 'DIFFERENT'}; metrics {'equal' if proof.metrics_equal else 'differ'}"
        )
    ctx.exit(0 if proof.equal else 1)
