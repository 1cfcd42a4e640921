"""`loopline drift`."""

from __future__ import annotations

from pathlib import Path

import click

from loopline.core.workspace import Workspace

DRIFT_EXIT_CODE = 3


@click.command()
@click.argument("model")
@click.option("--since", default="1h", show_default=True, help="Start of the window: 90s, 15m, 1h, 7d ago, or a time.")
@click.option("--until", help="End of the window  [default: now].")
@click.option("--false-alarm-rate", default=0.01, show_default=True, help="Chance of an alarm where nothing changed.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for record and page.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_context
def drift(
    ctx: click.Context,
    model: str,
    since: str,
    until: str | None,
    false_alarm_rate: float,
    output: Path | None,
    as_json: bool,
) -> None:
    """Compare MODEL's logged predictions in a window with its bundle's reference.

    Exits with 0 where nothing drifted, 3 where something did, 1 on an error.
    """
    from loopline.cli.output import print_json, print_table
    from loopline.loop import drift as detect
    from loopline.loop import drift_folder
    from loopline.monitoring import drift_sentence, parse_moment, shown_tests

    workspace: Workspace = ctx.obj
    report = detect(
        model,
        since=parse_moment(since),
        until=None if until is None else parse_moment(until),
        false_alarm_rate=false_alarm_rate,
        output=output,
        workspace=workspace,
    )
    if as_json:
        print_json(report)
    else:
        rows = [
            (
                test.feature,
                test.method,
                f"{test.statistic:.3f}",
                f"{test.corrected_p:.2g}",
                f"{test.effect:.3f}",
                "drift" if test.drifted else "",
            )
            for test in shown_tests(report)
        ]
        print_table(("feature", "test", "statistic", "corrected p", "effect", "verdict"), rows)
        if len(rows) < len(report.tests):
            click.echo(f"… and {len(report.tests) - len(rows)} weaker components, all in drift.json.")
        click.echo(f"\n{drift_sentence(report)}\n{(output or drift_folder(model, workspace)) / 'drift.html'}")
    ctx.exit(DRIFT_EXIT_CODE if report.drifted else 0)
