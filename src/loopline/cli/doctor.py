"""`loopline doctor`."""

from __future__ import annotations

import click

from loopline.core.workspace import Workspace


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check this machine: Python, packages, torch and CUDA, folders, ports, tracking, git, credentials.

    Exits with 1 where something does not work; what is only absent is a warning.
    """
    from loopline.cli.output import print_json, print_table
    from loopline.doctor import doctor as examine

    workspace: Workspace = ctx.obj
    checks = examine(workspace)
    if as_json:
        print_json(checks)
    else:
        rows = [(_MARKS[check.status], check.name, check.found, check.next_command or "") for check in checks]
        print_table(("", "check", "found", "what mends or brings it"), rows)
    ctx.exit(1 if any(check.status == "problem" for check in checks) else 0)


_MARKS = {"ok": "✓", "warning": "!", "problem": "✗"}
