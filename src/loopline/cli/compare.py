"""`loopline compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.core.records import ServedComparison, ServedSide


@click.command()
@click.argument("champion")
@click.argument("challenger")
@click.option("--since", default="7d", show_default=True, help="Start of the window: 90s, 15m, 1h, 7d ago, or a time.")
@click.option("--until", help="End of the window  [default: now].")
@click.option(
    "--log",
    envvar="LOOPLINE_SERVE_LOG",
    help="The prediction log: a file, or postgresql://HOST/DATABASE [workspace's].",
)
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_obj
def compare(
    workspace: Workspace,
    champion: str,
    challenger: str,
    since: str,
    until: str | None,
    log: str | None,
    as_json: bool,
) -> None:
    """Compare what CHAMPION and CHALLENGER answered, from the prediction log.

    A shadow answers the same requests and is compared pair by pair, a split other requests. Which one is better only
    truths can tell, which `POST /feedback` brings.
    """
    from loopline.cli.output import print_json, print_table
    from loopline.delivery import compare_served
    from loopline.monitoring import parse_moment

    comparison = compare_served(
        champion,
        challenger,
        since=parse_moment(since),
        until=None if until is None else parse_moment(until),
        log=log,
        workspace=workspace,
    )
    if as_json:
        print_json(comparison)
        return
    sides = (comparison.champion, comparison.challenger)
    print_table(("", *(side.model for side in sides)), list(_rows(comparison, sides)))
    click.echo("\n" + "\n".join(_sentences(comparison)))


def _rows(comparison: ServedComparison, sides: tuple[ServedSide, ServedSide]) -> list[tuple[str, ...]]:
    rows = [
        ("bundle", *(side.bundle_digest[:12] for side in sides)),
        ("answers", *(f"{side.num_answers:,}" for side in sides)),
        ("with a truth", *(f"{side.num_labelled:,}" for side in sides)),
        (comparison.metric, *("" if side.score is None else f"{side.score:.4g}" for side in sides)),
        ("engine, p50 and p95", *(f"{side.p50_infer_ms:.1f} and {side.p95_infer_ms:.1f} ms" for side in sides)),
    ]
    if any(side.num_up or side.num_down for side in sides):
        rows.append(("thumbs up, down", *(f"{side.num_up}, {side.num_down}" for side in sides)))
    return rows


def _sentences(comparison: ServedComparison) -> list[str]:
    """What the table cannot say: pairs, differences, and what is missing to know more."""
    said = []
    if comparison.agreement is not None:
        said.append(f"{comparison.num_pairs:,} requests have both answers; {comparison.agreement:.1%} agree.")
    paired = comparison.paired
    if paired is not None:
        verdict = "not worse" if paired.not_worse else "not shown to be as good"
        said.append(
            f"On {paired.num_examples:,} of them with a truth the challenger is {paired.difference:+.4g} "
            f"({paired.low:+.4g} to {paired.high:+.4g}) in {paired.metric}: {verdict} by a margin of {paired.margin:g}."
        )
    elif comparison.difference is not None:
        said.append(
            f"On their own requests with a truth the challenger gains {comparison.difference:+.4g} in "
            f"{comparison.metric} (95% interval {comparison.low:+.4g} to {comparison.high:+.4g})."
        )
    else:
        said.append("Which one is better needs truths of both: POST /feedback, with the request_id of an answer.")
    return said
