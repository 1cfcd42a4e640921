"""`loopline api-key`."""

from __future__ import annotations

import click


@click.command("api-key")
@click.argument("name")
def api_key(name: str) -> None:
    """Make an API key for NAME: the key on the first line, what a server is told on the second.

    The key is shown once and kept nowhere. The server knows its SHA-256 alone.
    """
    from loopline.serving.keys import make_key

    key, entry = make_key(name)
    click.echo(f"{key}\n{entry}")
    click.echo("give the first line to its holder; start the server with: --api-key, or --api-key-file FILE", err=True)
