"""`loopline optimize`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from loopline.core.workspace import Workspace


@click.command()
@click.argument("bundle")
@click.option("--max-drop", type=float, help="Points of accuracy or chrF, or per cent of the mean error  [0.5].")
@click.option("--min-speedup", type=float, help="Times the speed of BUNDLE that must be reached  [1].")
@click.option("--recipes", help="Only these, by comma, as input-71,int8  [all].")
@click.option("--epochs", type=int, help="Epochs that a pruned network learns again  [2].")
@click.option(
    "--student", multiple=True, metavar="KEY=VALUE", help="The smaller network, by what differs from this one."
)
@click.option("--student-epochs", type=int, help="Epochs that a smaller network learns  [10].")
@click.option("--rounds", type=int, help="Rounds in which speeds are compared  [5].")
@click.option("--threads", type=int, help="Threads that ask at the same time  [1].")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for record, plot and page.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_obj
def optimize(workspace: Workspace, /, bundle: str, recipes: str | None, student: tuple[str, ...], **given: Any) -> None:
    """Make BUNDLE faster without losing more than --max-drop, and write the result as a new bundle.

    BUNDLE is a folder, a digest, `latest`, or NAME@ALIAS. Tries smaller inputs, int8, pruning, a smaller network and
    more, measures each on the whole validation split and on this machine. Exits with 1 where nothing passes the gate.
    """
    from loopline.cli.output import print_json, print_table
    from loopline.core.validation import validated
    from loopline.delivery import optimization_folder
    from loopline.delivery import optimize as optimize_bundle
    from loopline.optimization import OptimizeSettings
    from loopline.optimization.page import COLUMNS, rows

    output, as_json = given.pop("output"), given.pop("as_json")
    values = {name: value for name, value in given.items() if value is not None}
    values["recipes"] = tuple(name.strip() for name in recipes.split(",")) if recipes else ()
    values["student"] = dict(_pair(text) for text in student)
    settings = validated(OptimizeSettings, values)
    found = optimize_bundle(bundle, settings, output=output, workspace=workspace)
    if as_json:
        print_json(found)
        return
    print_table(COLUMNS, rows(found))
    for candidate in found.candidates:
        if candidate.status != "measured":
            click.echo(f"{candidate.recipe}: {candidate.status}: {candidate.note}")
    click.echo(f"\n{(output or optimization_folder(found, workspace)) / 'optimization.html'}")
    click.echo(f"next: loopline register {(found.bundle or '')[:12]} --name {found.name}")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"--student '{text}' given; expected KEY=VALUE, as width=16.")
    return key, value
