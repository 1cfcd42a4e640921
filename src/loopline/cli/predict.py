"""`loopline predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.core.records import ModelBundle
    from loopline.predictor import Answer


@click.command()
@click.argument("model")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", default=3, show_default=True, type=click.IntRange(min=1), help="Labels to print per file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per file.")
@click.pass_context
def predict(ctx: click.Context, model: str, files: tuple[Path, ...], top: int, as_json: bool) -> None:
    """Predict FILES (a folder stands for the files in it) with MODEL, as the server would.

    A file that is no picture is reported and the others are predicted; the exit code is then 1.
    """
    from loopline.core.errors import InvalidExample
    from loopline.loop import load

    workspace: Workspace = ctx.obj
    expanded = _expand(files)
    predictor = load(model, workspace=workspace)
    num_failed = 0
    for file in expanded:
        try:
            (answer,) = predictor.predict_raw([file.read_bytes()])
        except (InvalidExample, OSError) as error:
            num_failed += 1
            _print_error(file, str(error.strerror if isinstance(error, OSError) else error), as_json=as_json)
        else:
            _print_answer(file, answer, predictor.bundle, top=top, as_json=as_json)
    ctx.exit(1 if num_failed else 0)


def _print_answer(file: Path, answer: Answer, bundle: ModelBundle, *, top: int, as_json: bool) -> None:
    from loopline.predictor import LabelAnswer, ValueAnswer

    if isinstance(answer, LabelAnswer):
        best = answer.top(top, bundle.label_names)
        fields: dict[str, object] = {"label": answer.label, "probabilities": dict(best)}
        words = ", ".join(f"{label} {probability:.1%}" for label, probability in best)
    elif isinstance(answer, ValueAnswer):
        ends = answer.interval
        fields = {"value": answer.value, "unit": bundle.unit, "interval": None if ends is None else list(ends)}
        words = f"{answer.value:.4g} {bundle.unit or ''}".rstrip()
        words += "" if ends is None else f" ({ends[0]:.4g} to {ends[1]:.4g})"
    else:
        fields, words = {"text": answer.predicted}, answer.predicted
    if as_json:
        _print_line({"file": str(file), **fields})
    else:
        click.echo(f"{file}: {words}")


def _print_error(file: Path, reason: str, *, as_json: bool) -> None:
    if as_json:
        _print_line({"file": str(file), "error": reason})
    else:
        click.echo(f"{file}: {reason}", err=True)


def _print_line(value: dict[str, object]) -> None:
    import json

    click.echo(json.dumps(value, ensure_ascii=False))


def _expand(files: tuple[Path, ...]) -> list[Path]:
    """Every file meant: a folder's but for hidden ones, and what a pattern matches where no shell expanded it."""
    from loopline.core.errors import InputError

    expanded: list[Path] = []
    for file in files:
        if file.is_dir():
            expanded += sorted(path for path in file.iterdir() if path.is_file() and not path.name.startswith("."))
        elif "*" in file.name and not file.exists():
            expanded += sorted(file.parent.glob(file.name))
        else:
            expanded.append(file)
    if not expanded:
        raise InputError(f"no file in {', '.join(map(str, files))}; expected pictures.")
    return expanded
