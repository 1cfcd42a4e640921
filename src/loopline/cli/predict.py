"""`loopline predict`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.core.records import ModelBundle
    from loopline.predictor import Answer, PredictorLike


class _Example(NamedTuple):
    """What is predicted: a name to print, and what makes it what the predictor takes."""

    # `file`, or `given` for a text of the command line.
    kind: str
    name: str
    decode: Callable[[PredictorLike], Any]


@click.command()
@click.argument("model")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--text", "texts", multiple=True, help="A text to predict, instead of a file; repeatable.")
@click.option("--together", is_flag=True, help="Take all FILES as one example, as the bands of a plot.")
@click.option("--top", default=3, show_default=True, type=click.IntRange(min=1), help="Labels to print per example.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per example.")
@click.pass_context
def predict(
    ctx: click.Context,
    model: str,
    files: tuple[Path, ...],
    texts: tuple[str, ...],
    together: bool,
    top: int,
    as_json: bool,
) -> None:
    """Predict FILES (a folder stands for the files in it) with MODEL, as the server would.

    A file that the model cannot read is reported and the others are predicted; the exit code is then 1.
    """
    from loopline.core.errors import InvalidExample
    from loopline.loop import load

    workspace: Workspace = ctx.obj
    examples = _examples(files, texts, together=together)
    predictor = load(model, workspace=workspace)
    num_failed = 0
    for example in examples:
        try:
            (answer,) = predictor.predict([example.decode(predictor)])
        except (InvalidExample, OSError) as error:
            num_failed += 1
            _print_error(example, str(error.strerror if isinstance(error, OSError) else error), as_json=as_json)
        else:
            _print_answer(example, answer, predictor.bundle, top=top, as_json=as_json)
    ctx.exit(1 if num_failed else 0)


def _examples(files: tuple[Path, ...], texts: tuple[str, ...], *, together: bool) -> list[_Example]:
    """What the command line means, in its order: files, all of them as one where they belong together, then texts."""
    if not files and not texts:
        raise click.UsageError("no example given; expected FILES or --text.")
    expanded = _expand(files) if files else []
    if together and expanded:
        examples = [_Example("file", ", ".join(map(str, expanded)), partial(_decode_together, expanded))]
    else:
        examples = [_Example("file", str(file), partial(_decode_together, [file])) for file in expanded]
    return examples + [_Example("given", text, partial(_decode_text, text)) for text in texts]


def _decode_together(files: Sequence[Path], predictor: PredictorLike) -> Any:
    return predictor.decode(predictor.join([(file.name, file.read_bytes()) for file in files]))


def _decode_text(text: str, predictor: PredictorLike) -> Any:
    return predictor.from_array(text)


def _print_answer(example: _Example, answer: Answer, bundle: ModelBundle, *, top: int, as_json: bool) -> None:
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
        _print_line({example.kind: example.name, **fields})
    else:
        click.echo(f"{example.name}: {words}")


def _print_error(example: _Example, reason: str, *, as_json: bool) -> None:
    if as_json:
        _print_line({example.kind: example.name, "error": reason})
    else:
        click.echo(f"{example.name}: {reason}", err=True)


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
        raise InputError(f"no file in {', '.join(map(str, files))}; expected some.")
    return expanded
