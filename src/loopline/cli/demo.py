"""`loopline demo`."""

from __future__ import annotations

import click

from loopline.core.workspace import Workspace


@click.command()
@click.option(
    "--requests",
    "num_requests",
    default=500,
    show_default=True,
    type=click.IntRange(min=30, max=10_000),
    help="Test pictures to send over HTTP, clean and then corrupted.",
)
@click.argument("overrides", nargs=-1)
@click.pass_obj
def demo(workspace: Workspace, num_requests: int, overrides: tuple[str, ...]) -> None:
    """Walk the whole loop on Fashion-MNIST: data, train, evaluate, export, register, promote, serve, drift, page.

    OVERRIDES change the training, as in `loopline demo trainer.max_epochs=1`.
    """
    from loopline.cli.output import print_table
    from loopline.demo import demo as walk

    report = walk(
        overrides=("recipe=fashion", *overrides), num_requests=num_requests, workspace=workspace, announce=click.echo
    )
    click.echo()
    rows = [(row.stage, row.result, f"{row.duration_s:.1f}", row.file) for row in report.rows]
    print_table(("stage", "result", "seconds", "file"), rows)
    click.echo(f"\n{report.duration_s:.0f} s in all; open {report.page}")
    click.echo("next: loopline ui fashion@champion")
