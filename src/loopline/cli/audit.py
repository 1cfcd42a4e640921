"""`loopline audit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from loopline.core.records.audit import Audit

FINDINGS_EXIT_CODE = 3
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("--only", multiple=True, metavar="NAME", help="An item, rule, theme or category; repeatable.")
@click.option(
    "--fail-on",
    default="error",
    show_default=True,
    type=click.Choice(["error", "warning", "note", "never"]),
    help="The least severe finding that fails.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.option("--sarif", type=_FILE, help="Write the findings as SARIF 2.1.0.")
@click.option("--markdown", type=_FILE, help="Write the audit as Markdown.")
@click.option("--html", type=_FILE, help="Write the audit as one HTML page.")
@click.option("--badge", type=_FILE, help="Write a badge with the score as SVG.")
@click.pass_context
def audit(
    ctx: click.Context,
    path: Path,
    only: tuple[str, ...],
    fail_on: Literal["error", "warning", "note", "never"],
    as_json: bool,
    sarif: Path | None,
    markdown: Path | None,
    html: Path | None,
    badge: Path | None,
) -> None:
    """Decide from the files of the project at PATH what it really does: checklist, own ticks, findings.

    Exits with 0 where no finding fails, 3 where one does, 1 on an error. Nothing of the project is executed.
    """
    from loopline.audit import output
    from loopline.audit.findings import FINDINGS
    from loopline.audit.project import audit_project
    from loopline.cli.output import print_json
    from loopline.core.store import write_json, write_text

    found = audit_project(path, only=only)
    if as_json:
        print_json(found)
    else:
        _print_tables(found)
    if sarif is not None:
        write_json(sarif, output.audit_sarif(found, FINDINGS))
    for file, render in ((markdown, output.audit_markdown), (html, output.audit_page), (badge, output.badge_svg)):
        if file is not None:
            write_text(file, render(found))
    failing = [] if fail_on == "never" else output.open_findings(found, at_least=fail_on)
    ctx.exit(FINDINGS_EXIT_CODE if failing else 0)


def _print_tables(found: Audit) -> None:
    from loopline.audit import output
    from loopline.cli.output import print_table

    for theme, items in output.themes(found).items():
        print_table(output.ITEM_COLUMNS, output.item_rows(items), title=theme)
        click.echo()
    if findings := output.open_findings(found):
        print_table(output.FINDING_COLUMNS, output.finding_rows(findings), title="Findings")
        click.echo()
    click.echo(output.audit_sentence(found))
