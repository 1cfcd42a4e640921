"""`loopline export`, `loopline bundle show`, `loopline bundle verify`."""

from __future__ import annotations

import click

from loopline.core.workspace import Workspace


@click.command()
@click.argument("run", default="latest")
@click.option("--name", help="The bundle's name  [default: the dataset's].")
@click.option(
    "--coverage",
    default=0.9,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of truths that the interval of a predicted value is to hold.",
)
@click.pass_obj
def export(workspace: Workspace, run: str, name: str | None, coverage: float) -> None:
    """Export RUN's best checkpoint (a run's id, its first letters, or `latest`) as a bundle.

    The graph must reproduce the checkpoint on held-out inputs. The same run gives the same bundle.
    """
    from loopline.bundle import folder_name
    from loopline.loop import export as export_run

    bundle = export_run(run, name=name, coverage=coverage, workspace=workspace)
    folder = workspace.bundles / folder_name(bundle)
    parity = bundle.parity
    click.echo(
        f"{folder}: graph equals checkpoint on {parity.num_inputs} inputs within {parity.max_abs_error:.2g} "
        f"(tolerance {parity.tolerance:.2g})."
    )
    click.echo(f"next: loopline register {bundle.digest[:12]} --name {bundle.name}")


@click.group()
def bundle() -> None:
    """Look into a bundle, or recompute all that it claims."""


@bundle.command()
@click.argument("reference")
@click.option("--json", "as_json", is_flag=True, help="Print bundle.json.")
@click.pass_obj
def show(workspace: Workspace, reference: str, as_json: bool) -> None:
    """Print a bundle's model card.

    REFERENCE is a folder, the first digits of a digest, `latest`, or NAME@ALIAS of a registered model.
    """
    from loopline.bundle import CARD_FILE, find_bundle, read_bundle, read_file
    from loopline.cli.output import print_json

    folder = find_bundle(reference, workspace)
    record = read_bundle(folder)
    if as_json:
        print_json(record)
    else:
        click.echo(read_file(folder, record, CARD_FILE).decode(), nl=False)


@bundle.command()
@click.argument("reference")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.pass_context
def verify(ctx: click.Context, reference: str, as_json: bool) -> None:
    """Recompute all that a bundle claims.

    That is its digests, reference predictions and drift reference, and where its run is in the workspace, the parity of
    graph and checkpoint. REFERENCE is what `bundle show` takes. Exits with 1 where a claim does not hold.
    """
    from loopline.cli.output import print_json, print_table
    from loopline.loop import verify_bundle

    workspace: Workspace = ctx.obj
    checks = verify_bundle(reference, workspace=workspace)
    if as_json:
        print_json(checks)
    else:
        rows = [("✓" if check.passed else "✗", check.name, check.found) for check in checks]
        print_table(("", "claim", "found"), rows)
    ctx.exit(0 if all(check.passed for check in checks) else 1)
