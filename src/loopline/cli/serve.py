"""`loopline serve` and `loopline ui`: one option per field of `ServeSettings`, generated from it."""

from __future__ import annotations

import gc
import os
import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

import click

from loopline.core.records import Record
from loopline.core.workspace import Workspace
from loopline.serving.scaling import RaySettings
from loopline.serving.settings import ServeSettings, check_environment, variables

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def _options(
    kind: type[Record] = ServeSettings, *, without: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds an option for every setting; none given means the environment's value, else the setting's default."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(kind.model_fields.items()):
            if name not in without:
                # A server has an environment of its own; a cluster is named where it is meant.
                names = variables(name) if kind is ServeSettings else ()
                function = _option(name, field, names)(function)
        return function

    return add


def _option(name: str, field: FieldInfo, names: tuple[str, ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    kind = _type_of(field)
    flag = name.replace("_", "-")
    is_repeatable = get_origin(kind) is tuple
    return click.option(
        f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}",
        name,
        default=None,
        # In the environment, several stand with spaces between them.
        multiple=is_repeatable,
        type=str if is_repeatable else click.Path(path_type=Path) if kind is Path else kind,
        envvar=list(names),
        help=f"{field.description}{'' if field.default in (None, ()) else f' [{_shown(field.default)}]'}",
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
@click.option("--on", "place", type=click.Choice(["ray"]), help="Serve as replicas on a Ray cluster  [this machine].")
@_options(RaySettings)
@click.pass_obj
def serve(workspace: Workspace, /, model: str, place: str | None, **given: Any) -> None:
    """Serve MODEL (`fashion@champion`, a bundle's digest or folder) over HTTP until Ctrl-C or SIGTERM.

    Every option of the server can be given in the environment as LOOPLINE_SERVE_NAME, too; PORT and Vertex AI's
    AIP_HTTP_PORT, AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE are heard as well.
    """
    scaling = {name: given.pop(name) for name in RaySettings.model_fields}
    if place is None:
        strangers = [name for name, value in scaling.items() if value is not None]
        if strangers:
            raise click.UsageError(f"--{strangers[0].replace('_', '-')} is for a cluster: add --on ray.")
        _serve(model, given, workspace)
    else:
        _serve_on_ray(model, given, scaling, workspace)


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
    # A server computes in its engine alone; NumPy's own threads, one per core, would forbid to fork workers.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # What a server imports stays: to look for garbage every 700 objects takes a tenth of its start.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    from loopline.core.validation import validated
    from loopline.loop import serve as serve_model

    check_environment(os.environ)
    serve_model(model, validated(ServeSettings, _given(given)), workspace=workspace)


def _serve_on_ray(model: str, given: dict[str, Any], scaling: dict[str, Any], workspace: Workspace) -> None:
    from loopline.core.validation import validated
    from loopline.delivery import serve_on_ray

    check_environment(os.environ)
    settings, spread = validated(ServeSettings, _given(given)), validated(RaySettings, _given(scaling))
    serve_on_ray(model, settings, spread, workspace=workspace)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, ())}
