"""`loopline sweep` and `loopline sweeps`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.core.records import Sweep, SweepSettings, Trial


@click.command()
@click.argument("overrides", nargs=-1)
@click.option(
    "--space",
    multiple=True,
    metavar="KEY=VALUES",
    help="A key and its values, as optimizer.lr=1e-4..1e-1:log or model.width=16,32,64; repeatable.",
)
@click.option("--trials", "num_trials", type=click.IntRange(min=1), help="Trials in all [20; a grid: all its points].")
@click.option("--workers", "num_workers", type=click.IntRange(min=1), help="Trials at a time, each a process [1].")
@click.option("--sampler", metavar="NAME", help="tpe, random, grid, qmc or cmaes [tpe].")
@click.option("--pruner", metavar="NAME", help="median, asha, hyperband or none [median].")
@click.option("--warmup", "warmup_epochs", type=click.IntRange(min=1), help="Epochs before a trial is judged [1].")
@click.option("--seed", type=click.IntRange(min=0), help="Of the sampler [0].")
@click.option("--name", help="Of the sweep [the recipe's and four digits].")
@click.option("--resume", metavar="SWEEP", help="Go on with a sweep; with --trials, beyond where it was to end.")
@click.option("--wandb-file", type=click.Path(path_type=Path, dir_okay=False), help="Space and method of a W&B sweep.")
@click.option(
    "--config-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with groups of your own.",
)
@click.option("--dry-run", is_flag=True, help="Print the space and the first trial's command, and train nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the sweep's record as JSON.")
@click.pass_obj
def sweep(
    workspace: Workspace,
    /,
    overrides: tuple[str, ...],
    space: tuple[str, ...],
    wandb_file: Path | None,
    resume: str | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Search a space of configurations; every trial is a run, trained in a process of its own.

    OVERRIDES are those of `loopline train`; one with several values, in Hydra's grammar or as `low..high`, is part of
    the space. What is interrupted or killed goes on with `--resume`, and no finished trial runs twice.
    """
    from loopline.cli.output import print_json
    from loopline.loop import plan_sweep
    from loopline.loop import sweep as run
    from loopline.sweep import page_path, read_wandb_file

    changes: dict[str, Any] = {}
    if wandb_file is not None:
        found = read_wandb_file(wandb_file)
        overrides, space, changes = (*found.overrides, *overrides), (*found.space, *space), found.settings
        if found.not_used:
            words = ", ".join(found.not_used)
            click.echo(f"{words} of {wandb_file} not used: every trial is `loopline train`.", err=True)
    settings = _settings(changes, options)
    if dry_run:
        _print_plan(plan_sweep(overrides, space=space, settings=settings, workspace=workspace))
        return
    try:
        done = run(
            overrides,
            space=space,
            settings=settings,
            resume=resume,
            on_trial=None if as_json else _print_trial,
            workspace=workspace,
        )
    except KeyboardInterrupt:
        click.echo(f"next: loopline sweep --resume {resume or 'latest'}", err=True)
        raise
    if as_json:
        print_json(done)
        return
    _print_result(done, page_path(done.name, workspace))


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@click.pass_context
def sweeps(ctx: click.Context, as_json: bool) -> None:
    """List sweeps, newest first; `show` looks closer."""
    if ctx.invoked_subcommand is not None:
        return
    from loopline.cli.output import print_json, print_table
    from loopline.sweep import list_sweeps

    found = list_sweeps(ctx.obj)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each.name,
            f"{each.num_finished} of {each.num_trials}",
            "–" if each.best is None else f"{each.best.value:.4f}",
            each.metric,
            ", ".join(each.space),
        )
        for each in found
    ]
    print_table(("sweep", "trials", "best", "metric", "space"), rows)
    if not found:
        click.echo(
            f"no sweeps in {ctx.obj.sweeps} yet.\nnext: loopline sweep recipe=fashion --space model.width=8,16,32"
        )


@sweeps.command()
@click.argument("sweep", default="latest")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_obj
def show(workspace: Workspace, sweep: str, as_json: bool) -> None:
    """Show one sweep: every trial, the best first, and the command that trains the best again."""
    from loopline.cli.output import print_json
    from loopline.sweep import find_sweep, write_page

    found = find_sweep(sweep, workspace)
    if as_json:
        print_json(found)
    else:
        _print_result(found, write_page(found, workspace))


def _settings(changes: dict[str, Any], options: dict[str, Any]) -> SweepSettings:
    """Settings of the options that were given, over those of a W&B file."""
    from loopline.core.records import SweepSettings
    from loopline.core.validation import validated

    given = {key: value for key, value in options.items() if value is not None}
    if "config_dir" in given:
        given["config_dir"] = str(given["config_dir"])
    pruning = {"pruner": "name", "warmup_epochs": "warmup_epochs"}
    chosen = {field: given.pop(option) for option, field in pruning.items() if option in given}
    if chosen:
        before = changes["pruning"].model_dump() if "pruning" in changes else {}
        changes = {**changes, "pruning": {**before, **chosen}}
    return validated(SweepSettings, {**changes, **given})


def _print_plan(sweep: Sweep) -> None:
    from loopline.cli.output import print_table
    from loopline.sweep import describe, first_trial

    print_table(("key", "values"), [(key, describe(dimension)) for key, dimension in sweep.space.items()])
    settings = sweep.settings
    click.echo(
        f"\n{sweep.num_trials} trials, {settings.num_workers} at a time; sampler {settings.sampler}, pruner "
        f"{settings.pruning.name}; {sweep.metric}, best at its {sweep.direction}\n"
        f"first: {sweep.command(first_trial(sweep))}"
    )


def _print_trial(trial: Trial, sweep: Sweep) -> None:
    from loopline.sweep import short

    value = "" if trial.value is None else f" {trial.value:.4f}"
    best = "" if sweep.best is None else f" (best {sweep.best.value:.4f})"
    point = " ".join(f"{key}={short(text)}" for key, text in trial.params.items())
    reason = "" if trial.error is None else f"; {trial.error}"
    click.echo(f"trial {trial.number} {trial.status}{value}{best}: {point}, {trial.duration_s or 0.0:.1f} s{reason}")


def _print_result(sweep: Sweep, page: Path) -> None:
    from loopline.cli.output import print_table
    from loopline.sweep import ranked, short

    rows = [
        (
            trial.number,
            trial.status,
            "–" if trial.value is None else f"{trial.value:.4f}",
            *(short(trial.params.get(key, "–")) for key in sweep.space),
            len(trial.epochs),
            trial.run_id,
        )
        for trial in ranked(sweep)
    ]
    print_table(("trial", "status", sweep.metric, *sweep.space, "epochs", "run"), rows)
    click.echo(f"\nsweep {sweep.name}: {sweep.num_finished} of {sweep.num_trials} trials; open {page}")
    if sweep.num_finished < sweep.num_trials:
        click.echo(f"next: loopline sweep --resume {sweep.name}")
    elif sweep.best is not None:
        click.echo(f"again: {sweep.command(sweep.best)}\nnext: loopline evaluate {sweep.best.run_id}")
