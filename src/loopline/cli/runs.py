"""`loopline runs`: list, show, compare. Reads run.json files; needs no tracker and no server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.core.records import Run


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@click.pass_context
def runs(ctx: click.Context, as_json: bool) -> None:
    """List what ran, newest first; `show` and `compare` look closer.

    RUN is a run's id, any part of it that is unique, or `latest`.
    """
    if ctx.invoked_subcommand is not None:
        return
    from loopline.cli.output import print_json, print_table
    from loopline.loop import runs as list_all

    found = list_all(workspace=ctx.obj)
    if as_json:
        print_json(found)
        return
    rows = [
        (run.run_id, run.kind, run.status, _seconds(run), run.num_steps, _dataset(run), _figures(run)) for run in found
    ]
    print_table(("run", "kind", "status", "time", "steps", "data", "validation"), rows)
    if not found:
        click.echo(f"no runs in {ctx.obj.runs} yet.\nnext: loopline train recipe=fashion")


@runs.command()
@click.argument("run", default="latest")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_obj
def show(workspace: Workspace, run: str, as_json: bool) -> None:
    """Show one run: configuration, data, code, environment, figures, files."""
    from loopline.cli.output import print_json, print_table
    from loopline.runs import find_run, flat

    record = find_run(run, workspace)
    if as_json:
        print_json(record)
        return
    code = record.code
    facts = [
        ("run", record.run_id),
        ("status", record.status),
        *([("error", record.error)] if record.error else []),
        ("started", f"{record.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("time", _seconds(record)),
        ("steps", record.num_steps),
        ("resumed", f"{record.num_resumes} times"),
        ("data", f"{record.dataset.name}@{record.dataset.version}"),
        ("code", f"{code.commit or 'no commit'}{', with changes (code.diff)' if code.dirty else ''}"),
        ("loopline", code.loopline_version),
        ("python", record.environment.python),
        ("device", record.environment.device),
        ("tracker", record.tracker),
        ("folder", workspace.runs / record.run_id),
    ]
    print_table(("", ""), facts)
    click.echo()
    print_table(("setting", "value"), [(key, _text(value)) for key, value in flat(record.config).items()])
    click.echo()
    print_table(("metric", "value"), [(name, f"{value:.6g}") for name, value in sorted(record.metrics.items())])
    click.echo()
    files = [(item.path, f"{item.num_bytes:,}", item.digest[:12]) for item in record.artifacts]
    print_table(("file", "bytes", "digest"), files)
    if record.status in ("interrupted", "failed"):
        click.echo(f"\nnext: loopline train --resume {record.run_id}")


@runs.command()
@click.argument("a")
@click.argument("b")
@click.pass_obj
def compare(workspace: Workspace, a: str, b: str) -> None:
    """Compare two runs: what differs in what made them, and all their figures."""
    from loopline.cli.output import print_table
    from loopline.runs import differences, find_run

    one, other = find_run(a, workspace), find_run(b, workspace)
    changed = [(key, _text(before), _text(after)) for key, (before, after) in differences(one, other).items()]
    print_table(("differs", one.run_id, other.run_id), changed)
    if not changed:
        click.echo("same configuration, data, code and environment.")
    click.echo()
    figures = [
        (name, *(f"{run.metrics[name]:.6g}" if name in run.metrics else "–" for run in (one, other)))
        for name in sorted({*one.metrics, *other.metrics})
    ]
    print_table(("metric", one.run_id, other.run_id), figures)


def _seconds(run: Run) -> str:
    return "–" if run.duration_s is None else f"{run.duration_s:,.1f} s"


def _dataset(run: Run) -> str:
    return f"{run.dataset.name}@{run.dataset.version[:12]}"


def _figures(run: Run) -> str:
    names = ("validation/accuracy", "validation/loss")
    return " ".join(f"{name.partition('/')[2]} {run.metrics[name]:.4f}" for name in names if name in run.metrics)


def _text(value: Any) -> str:
    return "–" if value is None else str(value)
