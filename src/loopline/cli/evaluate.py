"""`loopline evaluate`."""

from __future__ import annotations

from pathlib import Path

import click

from loopline.core.workspace import Workspace


@click.command()
@click.argument("subject", metavar="RUN_OR_BUNDLE", default="latest")
@click.option("--split", default="test", show_default=True, help="The split of its own snapshot to judge it on.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for record, plots and page.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_obj
def evaluate(workspace: Workspace, subject: str, split: str, output: Path | None, as_json: bool) -> None:
    """Judge a run's best checkpoint or a bundle on a split: metrics with 95% intervals, tables, plots, a page."""
    from loopline.cli.output import print_json, print_table
    from loopline.loop import evaluate as evaluate_subject
    from loopline.loop import evaluation_folder

    evaluation = evaluate_subject(subject, split=split, output=output, workspace=workspace)
    if as_json:
        print_json(evaluation)
        return
    click.echo(
        f"{evaluation.subject_kind} {evaluation.subject[:40]} on {evaluation.num_examples:,} examples of "
        f"{evaluation.dataset.name}@{evaluation.dataset.version[:12]}, split {evaluation.split}:\n"
    )
    metrics = [
        (name, f"{metric.value:.4f}", f"{metric.low:.4f} – {metric.high:.4f}")
        for name, metric in evaluation.metrics.items()
    ]
    print_table(("metric", "value", "95% interval"), metrics)
    click.echo()
    classes = [
        (row.label, f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", row.num_examples)
        for row in evaluation.per_class
    ]
    print_table(("class", "precision", "recall", "F1", "examples"), classes)
    click.echo(f"\n{(output or evaluation_folder(evaluation, workspace)) / 'evaluation.html'}")
