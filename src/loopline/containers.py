"""Containers as plain functions: an image of a project or a model, and a run of it under a platform's contract.

Beside `loop`, and of its layer: it hands the guard what other stages know of secrets and of confidential samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from loopline.core.errors import InputError
from loopline.core.records.image import ImageBuild
from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.image import Accelerator, Context, ImageOptions, Kind


def image_text(kind: Kind, *, project: Path | None = None, accelerator: Accelerator = "cpu") -> str:
    """The Dockerfile that `image` builds: the project's own `Dockerfile.KIND`, or what Loopline writes for it."""
    from loopline.image import dockerfile_of

    return dockerfile_of(kind, project or Path(), accelerator=accelerator)


def image(
    kind: Kind,
    options: ImageOptions,
    *,
    model: str | None = None,
    project: Path | None = None,
    workspace: Workspace | None = None,
) -> ImageBuild:
    """Builds the image of a project's training, or of the server of `model`; `project` is by default this folder.

    Writes `.image/KIND` into the project. Raises `GateRefused`, before anything is built, where the context holds
    secrets, samples of confidential snapshots, history, data or large files; `StateError` where no engine works.
    """
    from loopline.bundle import read_bundle
    from loopline.image import build

    place = workspace or Workspace.default()
    context = image_context(kind, options, model=model, project=project, workspace=place)
    bundle = None if model is None else read_bundle(_bundle_folder(model, place))
    return build(kind, context, options, bundle=bundle)


def image_context(
    kind: Kind,
    options: ImageOptions,
    *,
    model: str | None = None,
    project: Path | None = None,
    workspace: Workspace | None = None,
) -> Context:
    """Prepares and checks what an image is built from, and builds nothing; writes and raises what `image` does."""
    from loopline.bundle import read_bundle
    from loopline.data.confidential import find_samples
    from loopline.image import check_context, prepare_context

    if (kind == "serve") != (model is not None):
        raise InputError(
            f"an image to {kind} was asked for {'without' if model is None else 'with'} a model; "
            "expected a model for 'serve' and none for 'train'.",
            next_command="loopline image serve NAME@champion",
        )
    place = workspace or Workspace.default()
    folder = None if model is None else _bundle_folder(model, place)
    context = prepare_context(
        kind,
        project or Path(),
        options,
        bundle=None if folder is None else read_bundle(folder),
        bundle_folder=folder,
    )
    check_context(context, secrets=_credentials, samples=lambda paths: find_samples(list(paths), workspace=place))
    return context


def _bundle_folder(model: str, workspace: Workspace) -> Path:
    from loopline.subjects import bundle_folder

    return bundle_folder(model, workspace)


def _credentials(path: str, text: str) -> Iterator[tuple[int, str]]:
    from loopline.audit.findings.credentials import find_credentials

    return ((found.line, found.what) for found in find_credentials(path, text))
