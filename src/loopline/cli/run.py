"""`loopline run`."""

from __future__ import annotations

import click

from loopline.core.workspace import Workspace

BROKEN_EXIT_CODE = 3


@click.command()
@click.argument("service", required=False)
@click.argument("overrides", nargs=-1)
@click.option("--contract", required=True, help="cloudrun, vertex-prediction, vertex-training, kubernetes or lambda.")
@click.option("--image", "is_image", is_flag=True, help="SERVICE is an image, not a model.")
@click.option("--memory", "memory_mib", type=click.IntRange(1), help="Memory limit in MiB  [default: the contract's].")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_context
def run(
    ctx: click.Context,
    service: str | None,
    overrides: tuple[str, ...],
    contract: str,
    is_image: bool,
    memory_mib: int | None,
    as_json: bool,
) -> None:
    """Run SERVICE as a platform would, and say what it would find: the server of a model, or an image.

    Read-only disk, scrubbed environment, memory limit, a network of its own, SIGTERM. Under vertex-training there is no
    SERVICE: everything is a Hydra override of `loopline train`; with --image the image's arguments.

    Exits with 0 where every demand was met, 3 where one was not, 1 on an error.
    """
    from loopline.cli.output import print_json, print_table
    from loopline.containers import run_contract
    from loopline.contract import read_contract

    workspace: Workspace = ctx.obj
    is_training = read_contract(contract).kind == "job" and not is_image
    found = run_contract(
        contract,
        None if is_training else service,
        is_image=is_image,
        overrides=(*(() if service is None else (service,)), *overrides) if is_training else overrides,
        memory_mib=memory_mib,
        workspace=workspace,
    )
    if as_json:
        print_json(found)
    else:
        rows = [(_MARKS[check.passed], check.name, check.found, check.fix or "") for check in found.checks]
        print_table(("", "demand", "found", "what mends it"), rows, title=f"{found.subject} under {contract}")
    ctx.exit(0 if found.passed else BROKEN_EXIT_CODE)


_MARKS = {True: "✓", False: "✗", None: "?"}
