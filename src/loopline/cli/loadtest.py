"""`loopline loadtest`."""

from __future__ import annotations

from pathlib import Path

import click

from loopline.core.workspace import Workspace

SLO_EXIT_CODE = 3


@click.command()
@click.argument("url")
@click.option(
    "--input",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of examples to ask about.",
)
@click.option("--users", default=8, show_default=True, help="How many ask at the same time.")
@click.option("--duration", default=30.0, show_default=True, help="Seconds of the whole test.")
@click.option("--ramp", is_flag=True, help="Step up from one user, doubling, to find the knee.")
@click.option("--rate", type=float, help="Offer so many requests per second  [as fast as answered].")
@click.option("--slo", "promises", multiple=True, help="Exit with 3 where broken: p99=200ms, errors=1%, rate=100/s.")
@click.option("--web", type=int, metavar="PORT", help="Open Locust's page on this port instead of a test.")
@click.option("--i-own-this-host", "is_own", is_flag=True, help="Allow a server on another machine.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for record, plots and page.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_context
def loadtest(
    ctx: click.Context,
    url: str,
    folder: Path,
    users: int,
    duration: float,
    ramp: bool,
    rate: float | None,
    promises: tuple[str, ...],
    web: int | None,
    is_own: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Load the server at URL and tell what it carries.

    The key of a server that wants one is read from the environment: LOOPLINE_API_KEY. Exits with 0 where every --slo
    was kept, 3 where one was broken, 1 on an error.
    """
    from loopline.cli.output import print_json, print_table
    from loopline.core.validation import validated
    from loopline.delivery import load_test, load_test_folder, open_load_page
    from loopline.loadtest import PAGE_FILE, LoadSettings, parse_slo
    from loopline.loadtest.page import COLUMNS, rows, slo_sentence

    workspace: Workspace = ctx.obj
    given = {"users": users, "duration_s": duration, "is_ramp": ramp, "rate_per_s": rate}
    settings = validated(LoadSettings, {**given, "slos": tuple(map(parse_slo, promises))})
    if web is not None:
        click.echo(f"http://127.0.0.1:{web} until Ctrl-C")
        ctx.exit(open_load_page(url, folder, settings, port=web, is_own=is_own))
    test = load_test(url, folder, settings, is_own=is_own, output=output, workspace=workspace)
    if as_json:
        print_json(test)
    else:
        print_table(COLUMNS, rows(test))
        num_users = test.knee_users
        click.echo(f"\nknee: {num_users} user{'' if num_users == 1 else 's'}")
        for slo in test.slos:
            click.echo(slo_sentence(slo))
        click.echo(f"{(output or load_test_folder(test, workspace)) / PAGE_FILE}")
    ctx.exit(0 if test.are_slos_kept else SLO_EXIT_CODE)
