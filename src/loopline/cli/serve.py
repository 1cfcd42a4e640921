"""`loopline serve` and `loopline ui`: one option per field of `ServeSettings`, generated from it."""

from __future__ import annotations

import os
import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

import click

from loopline.core.workspace import Workspace
from loopline.serving.settings import ServeSettings, check_environment, variables

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def _options(*, without: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds an option for every setting; none given means the environment's value, else the setting's default."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(ServeSettings.model_fields.items()):
            if name not in without:
                function = _option(name, field)(function)
        return function

    return add


def _option(name: str, field: FieldInfo) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    kind = _type_of(field)
    flag = name.replace("_", "-")
    return click.option(
        f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}",
        name,
        default=None,
        type=click.Path(path_type=Path) if kind is Path else kind,
        envvar=list(variables(name)),
        help=f"{field.description}{'' if field.default is None else f' [{_shown(field.default)}]'}",
    )


def _type_of(field: FieldInfo) -> Any:
    if get_origin(field.annotation) is types.UnionType:
        return next(part for part in get_args(field.annotation) if part is not types.NoneType)
    return field.annotation


def _shown(default: object) -> str:
    return {True: "on", False: "off"}[default] if isinstance(default, bool) else str(default)


@click.command()
@click.argument("model")
@_options()
@click.pass_obj
def serve(workspace: Workspace, /, model: str, **given: Any) -> None:
    """Serve MODEL (`fashion@champion`, a bundle's digest or folder) over HTTP until Ctrl-C or SIGTERM.

    Every option can be given in the environment as LOOPLINE_SERVE_NAME, too; PORT and Vertex AI's AIP_HTTP_PORT,
    AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE are heard as well.
    """
    _serve(model, given, workspace)


@click.command()
@click.argument("model")
@_options(without=("ui",))
@click.pass_obj
def ui(workspace: Workspace, /, model: str, **given: Any) -> None:
    """Serve MODEL with a page at /ui to ask it: pictures, bands, numbers or text.

    The same server as `loopline serve --ui`; with --open the page opens in a browser.
    """
    _serve(model, {**given, "ui": True}, workspace)


def _serve(model: str, given: dict[str, Any], workspace: Workspace) -> None:
    from loopline.core.validation import validated
    from loopline.loop import serve as serve_model

    check_environment(os.environ)
    settings = validated(ServeSettings, {name: value for name, value in given.items() if value is not None})
    serve_model(model, settings, workspace=workspace)
