"""`loopline evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.core.records import Evaluation


@click.command()
@click.argument("subject", metavar="RUN_OR_BUNDLE", default="latest")
@click.option("--split", default="test", show_default=True, help="The split of its own snapshot to judge it on.")
@click.option("--from-feedback", is_flag=True, help="Judge served predictions by the truths that /feedback got.")
@click.option("--since", help="With --from-feedback: only predictions since 15m, 1h, 7d ago, or a time.")
@click.option("--until", help="With --from-feedback: only predictions before then.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for record, plots and page.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_context
def evaluate(
    ctx: click.Context,
    subject: str,
    split: str,
    from_feedback: bool,
    since: str | None,
    until: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Judge a run's best checkpoint or a bundle on a split: metrics with 95% intervals, tables, plots, a page."""
    from loopline.cli.output import print_json
    from loopline.loop import evaluate as evaluate_subject
    from loopline.loop import evaluate_feedback, evaluation_folder
    from loopline.monitoring import parse_moment

    workspace: Workspace = ctx.obj
    if from_feedback and ctx.get_parameter_source("split") is not ParameterSource.DEFAULT:
        raise click.UsageError("--split has no meaning with --from-feedback: feedback is a split of its own.")
    if not from_feedback and (since or until):
        raise click.UsageError("--since and --until choose served predictions: add --from-feedback.")
    if from_feedback:
        start, end = (parse_moment(text) if text else None for text in (since, until))
        evaluation = evaluate_feedback(subject, since=start, until=end, output=output, workspace=workspace)
    else:
        evaluation = evaluate_subject(subject, split=split, output=output, workspace=workspace)
    if as_json:
        print_json(evaluation)
        return
    _print_tables(evaluation)
    click.echo(f"\n{(output or evaluation_folder(evaluation, workspace)) / 'evaluation.html'}")


def _print_tables(evaluation: Evaluation) -> None:
    from loopline.cli.output import print_table
    from loopline.evaluation import shown, shown_interval

    unit = f", in {evaluation.unit}" if evaluation.unit else ""
    click.echo(
        f"{evaluation.subject_kind} {evaluation.subject[:40]} on {evaluation.num_examples:,} examples of "
        f"{evaluation.dataset.name}@{evaluation.dataset.version[:12]}, split {evaluation.split}{unit}:\n"
    )
    metrics = [(name, shown(metric.value), shown_interval(metric)) for name, metric in evaluation.metrics.items()]
    print_table(("metric", "value", "95% interval"), metrics)
    if evaluation.per_class:
        classes = [
            (row.label, f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", row.num_examples)
            for row in evaluation.per_class
        ]
        click.echo()
        print_table(("class", "precision", "recall", "F1", "examples"), classes)
    if evaluation.levels:
        levels = [
            (f"{band.level:g}", shown(band.median), f"{shown(band.low)} – {shown(band.high)}", shown(band.mae))
            for band in evaluation.levels
        ]
        click.echo()
        print_table(("true level", "median", "middle 90%", "mean absolute error"), levels)
    if evaluation.metric_signature is not None:
        click.echo(f"\n{evaluation.metric_signature}")
    if (ratings := evaluation.ratings) is not None:
        click.echo(f"\nrated by people: {ratings.num_up:,} up, {ratings.num_down:,} down")
