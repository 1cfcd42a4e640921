"""`loopline register`, `promote`, `rollback`, `models`."""

from __future__ import annotations

import click

from loopline.core.workspace import Workspace


@click.command()
@click.argument("bundle")
@click.option("--name", required=True, help="The model's name, as in `fashion@champion`.")
@click.pass_obj
def register(workspace: Workspace, bundle: str, name: str) -> None:
    """Register BUNDLE (a folder, a digest's first digits, or `latest`) as the next version of a model.

    The same bundle again is the same version.
    """
    from loopline.loop import register as register_bundle

    version = register_bundle(bundle, name=name, workspace=workspace)
    click.echo(f"{version.reference} holds bundle {version.bundle_digest[:12]}.")
    click.echo(f"next: loopline promote {version.reference} champion")


@click.command()
@click.argument("version")
@click.argument("alias", default="champion")
@click.option("--split", default="validation", show_default=True, help="The split on which the two are compared.")
@click.option("--force", "reason", metavar="REASON", help="Promote whatever the comparison says; the reason is kept.")
@click.pass_obj
def promote(workspace: Workspace, version: str, alias: str, split: str, reason: str | None) -> None:
    """Point ALIAS at VERSION (`fashion@3`).

    Where the alias points at another version already, both predict the same split, and the challenger must not be
    worse (a paired bootstrap); else the promotion is refused.
    """
    from loopline.loop import promote as promote_version

    promoted = promote_version(version, alias, split=split, force=reason, workspace=workspace)
    click.echo(f"{promoted.name}@{alias} is version {promoted.number}: {promoted.reason.rstrip('.')}.")
    click.echo(f"next: loopline serve {promoted.name}@{alias}")


@click.command()
@click.argument("name")
@click.argument("alias", default="champion")
@click.pass_obj
def rollback(workspace: Workspace, name: str, alias: str) -> None:
    """Point ALIAS of model NAME back at the version it pointed to before."""
    from loopline.loop import rollback as roll_back

    version = roll_back(name, alias, workspace=workspace)
    click.echo(f"{name}@{alias} is version {version.number} again.")


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print records as JSON.")
@click.pass_obj
def models(workspace: Workspace, name: str | None, as_json: bool) -> None:
    """List registered models, or the versions of model NAME and every move of its aliases, the last first."""
    from loopline.cli.output import print_json, print_table
    from loopline.loop import models as list_models

    versions = list_models(name, workspace=workspace)
    if as_json:
        print_json(versions)
        return
    if not versions:
        click.echo("no model is registered yet.\nnext: loopline register BUNDLE --name NAME")
        return
    rows = [
        (
            version.reference,
            ", ".join(version.aliases),
            version.bundle_digest[:12],
            version.run_id or "",
            " ".join(f"{key}={value:.4g}" for key, value in sorted(version.metrics.items())),
            f"{version.created_at:%Y-%m-%d %H:%M}",
        )
        for version in versions
    ]
    print_table(("version", "aliases", "bundle", "run", "metrics", "created (UTC)"), rows)
    if name is not None:
        _print_history(name, workspace)


def _print_history(name: str, workspace: Workspace) -> None:
    from loopline.cli.output import print_table
    from loopline.registry import history

    rows = [
        (alias, f"{move.from_number or '–'} → {move.to_number}", f"{move.at:%Y-%m-%d %H:%M}", move.who, move.reason)
        for alias, moves in history(name, workspace=workspace).items()
        for move in reversed(moves)
    ]
    if rows:
        click.echo()
        print_table(("alias", "moved", "when (UTC)", "who", "why"), rows)
