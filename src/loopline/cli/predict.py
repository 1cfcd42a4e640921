"""`loopline predict`."""

from __future__ import annotations

from pathlib import Path

import click

from loopline.core.workspace import Workspace


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
    import json

    from loopline.core.errors import InvalidExample
    from loopline.loop import load
    from loopline.predictor import Predictor

    workspace: Workspace = ctx.obj
    predictor: Predictor = load(model, workspace=workspace)
    num_failed = 0
    for file in _expand(files):
        try:
            answer = predictor.predict_raw([file.read_bytes()])[0]
        except (InvalidExample, OSError) as error:
            num_failed += 1
            reason = error.message if isinstance(error, InvalidExample) else error.strerror
            click.echo(json.dumps({"file": str(file), "error": reason}) if as_json else f"{file}: {reason}", err=True)
            continue
        best = answer.top(top, predictor.bundle.label_names)
        if as_json:
            click.echo(json.dumps({"file": str(file), "label": answer.label, "probabilities": dict(best)}))
        else:
            click.echo(f"{file}: " + ", ".join(f"{label} {probability:.1%}" for label, probability in best))
    ctx.exit(1 if num_failed else 0)


def _expand(files: tuple[Path, ...]) -> list[Path]:
    expanded: list[Path] = []
    for file in files:
        expanded += sorted(path for path in file.iterdir() if path.is_file()) if file.is_dir() else [file]
    return expanded
