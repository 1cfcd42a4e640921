"""`loopline new` and `loopline update`."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Your pictures' folder or table; linked.")
@click.option("--task", type=click.Choice(["classification", "regression"]), help="What is learnt.")
@click.option("--tracker", type=click.Choice(["mlflow", "wandb", "none"]), help="Where runs are tracked.")
@click.option("--cloud", type=click.Choice(["gcp", "none"]), help="Where it will run.")
@click.option("--cloud-project", help="The id of the Google Cloud project.")
@click.option("--licence", type=click.Choice(["MIT", "BSD-3-Clause", "none"]), help="The licence of the code.")
@click.option("--holder", help="Who holds the rights.")
@click.option("--defaults", is_flag=True, help="Ask nothing: what is not given has its default.")
def new(folder: Path, data: Path | None, defaults: bool, **given: str | None) -> None:
    """Begin a project in FOLDER, whose name it gets: code, settings, tests, workflows, Dockerfiles, docs, report.

    Asks on a terminal what the options leave open. `cd FOLDER && make train test serve` works at once, on your data or
    on a small set that the project makes.
    """
    from loopline.project import new_project

    answers = {name: value for name, value in given.items() if value is not None}
    new_project(folder, answers, data=data, asks=sys.stdin.isatty() and not defaults)
    click.echo(f"{folder}: a project of your own.\n  next: cd {folder} && make train test serve")


@click.command()
@click.option("--ask", "asks", is_flag=True, help="Ask every question again.")
@click.option("--lock", is_flag=True, help="Only pin anew what is installed here, in requirements.lock.")
def update(asks: bool, lock: bool) -> None:
    """Bring later improvements of the template into the project in this folder; your edits stay.

    What both sides changed is left with conflict markers. Commit your own changes first.
    """
    from loopline.project import update_project, write_lock

    if lock:
        click.echo(f"{write_lock(Path())}: pinned what is installed.")
        return
    changed = update_project(Path(), asks=asks)
    click.echo("\n".join(changed) or "nothing to bring: the project is up to date.")
    if changed:
        click.echo("  next: git diff, make test, git commit")
