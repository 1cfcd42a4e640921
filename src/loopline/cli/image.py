"""`loopline image`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.image import Accelerator, Context, Kind, Platform


@click.command()
@click.argument("kind", type=click.Choice(["train", "serve"]))
@click.argument("model", required=False)
@click.option("--tag", help="The image's name  [default: this folder's or the model's, :latest].")
@click.option(
    "--platform",
    type=click.Choice(["linux/amd64", "linux/arm64"]),
    default="linux/amd64",
    show_default=True,
    help="The processor that it will run on.",
)
@click.option(
    "--accelerator",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="The base: without or with CUDA's libraries.",
)
@click.option("--engine", help="docker, podman or buildah  [default: the first that works].")
@click.option("--engine-options", default="", help="More words for the engine, as '--network host'.")
@click.option("--print", "prints", is_flag=True, help="Print the Dockerfile and build nothing.")
@click.option("--check", is_flag=True, help="Prepare and look at what would be sent, and build nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_obj
def image(
    workspace: Workspace,
    kind: Kind,
    model: str | None,
    tag: str | None,
    platform: Platform,
    accelerator: Accelerator,
    engine: str | None,
    engine_options: str,
    prints: bool,
    check: bool,
    as_json: bool,
) -> None:
    """Build an image from the project in this folder: `train`, or `serve` with MODEL (`pets@champion`) inside.

    A guard looks at everything that an engine would be sent, and refuses secrets, confidential samples, history, data
    and large files before anything is built. The image's arguments are Hydra overrides, or options of `loopline serve`.
    """
    from loopline import containers
    from loopline.cli.output import print_json
    from loopline.image import ImageOptions

    if prints:
        click.echo(containers.image_text(kind, accelerator=accelerator), nl=False)
        return
    options = ImageOptions(
        tag=tag or _tag(kind, model),
        platform=platform,
        accelerator=accelerator,
        engine=engine,
        engine_arguments=tuple(shlex.split(engine_options)),
    )
    if check:
        _print_context(containers.image_context(kind, options, model=model, workspace=workspace))
        return
    built = containers.image(kind, options, model=model, workspace=workspace)
    if as_json:
        print_json(built)
        return
    size = "" if built.image_bytes is None else f", {built.image_bytes / 1e6:,.0f} MB"
    click.echo(f"{built.tag}: built by {built.engine} for {built.platform} in {built.seconds:.0f} s{size}")


def _tag(kind: Kind, model: str | None) -> str:
    """`pets-train:latest` in the folder `pets`, `pets-serve:latest` for `pets@champion`."""
    name = Path.cwd().name if model is None else Path(model.partition("@")[0]).name
    return f"{name.lower()}-{kind}:latest"


def _print_context(context: Context) -> None:
    click.echo(f"{context.dockerfile}: {len(context.files)} files, {context.num_bytes / 1e6:.1f} MB, nothing refused")
