"""`loopline report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from loopline.report import ReportCheck

VIOLATION_EXIT_CODE = 1


@click.group()
def report() -> None:
    """Write, check, render and fill the Markdown report about a project."""


@report.command()
@click.argument("file", type=click.Path(path_type=Path), default=".")
@click.option("--json", "as_json", is_flag=True, help="Print the check as JSON.")
@click.option("--github", is_flag=True, help="Print annotations that GitHub shows beside the lines.")
@click.pass_context
def check(ctx: click.Context, file: Path, *, as_json: bool, github: bool) -> None:
    """Hold the answers in FILE against the limits that it states; FILE may be a project's folder.

    Exits with 0 where every answer keeps its limits, 1 where one does not, or on an error.
    """
    from loopline import reporting
    from loopline.cli.output import print_json

    checked = reporting.check(file)
    if as_json:
        print_json(checked)
    elif github:
        _print_annotations(checked)
    else:
        _print_check(checked)
    ctx.exit(0 if checked.passed else VIOLATION_EXIT_CODE)


def _print_check(checked: ReportCheck) -> None:
    from loopline.cli.output import print_table

    rows = [
        (
            answer.question,
            answer.words or "–",
            answer.num_words,
            answer.images or "–",
            answer.num_images,
            answer.verdict,
            f"{checked.file}:{answer.answer_line}",
        )
        for answer in checked.answers
    ]
    print_table(("question", "words", "found", "pictures", "found", "verdict", "line"), rows)
    click.echo()
    for problem in checked.all_problems:
        click.echo(f"{checked.file}:{problem.line}: {'' if problem.is_violation else 'remark: '}{problem.sentence}")
    violations = sum(problem.is_violation for problem in checked.all_problems)
    click.echo(
        f"{len(checked.answers)} questions, {checked.num_ticked} of {checked.num_boxes} boxes ticked, "
        + ("no violation." if not violations else f"{violations} violation{'s' * (violations > 1)}.")
    )


def _print_annotations(checked: ReportCheck) -> None:
    """Workflow commands of GitHub Actions; what separates their parts is written as its code."""
    file = _escaped(checked.file).replace(":", "%3A").replace(",", "%2C")
    for problem in checked.all_problems:
        level = "error" if problem.is_violation else "notice"
        title = problem.rule.replace("-", " ")
        click.echo(f"::{level} file={file},line={problem.line},title={title}::{_escaped(problem.sentence)}")


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


@report.command()
@click.argument("file", type=click.Path(path_type=Path), default=".")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="The page  [default: beside FILE].")
@click.option("--pdf", "as_pdf", is_flag=True, help="Print the page to PDF, through a browser that is installed.")
def html(file: Path, *, output: Path | None, as_pdf: bool) -> None:
    """Turn FILE into one page with its pictures in it; FILE may be a project's folder."""
    from loopline import reporting

    click.echo(reporting.html(file, output=output, pdf=as_pdf))


@report.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--title", default="Project report", show_default=True, help="The report's first heading.")
@click.option(
    "--template", type=click.Path(path_type=Path, dir_okay=False), help="Another Markdown file to begin with."
)
def new(folder: Path, *, title: str, template: Path | None) -> None:
    """Write a report to fill in, reports/README.md, into a project's FOLDER."""
    from loopline import reporting

    click.echo(reporting.new(folder, title=title, template=template))


@report.command()
@click.argument("file", type=click.Path(path_type=Path), default=".")
@click.option("--coverage", is_flag=True, help="Run the project's tests in its own environment, at most half an hour.")
def fill(file: Path, *, coverage: bool) -> None:
    """Draft the answers in FILE that the project's files tell, each sentence with its source; FILE may be a folder."""
    from loopline import reporting

    filled = reporting.fill(file, coverage=coverage)
    click.echo(f"drafted: {', '.join(filled.drafted) or 'none'}")
    click.echo(f"kept as they are: {', '.join(filled.kept) or 'none'}")
    click.echo(f"for you to answer: {', '.join(filled.still_open) or 'none'}")
    click.echo(filled.path)
