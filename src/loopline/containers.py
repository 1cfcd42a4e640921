"""Containers as plain functions: an image of a project or a model, and a run of it under a platform's contract.

Beside `loop`, and of its layer: it hands the guard what other stages know of secrets and of confidential samples.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopline.core.errors import InputError
from loopline.core.records import Contract, ContractRun, ImageBuild
from loopline.core.workspace import HOME_VARIABLE, Workspace

if TYPE_CHECKING:
    from loopline.contract import Subject
    from loopline.core.records.image import ContextProblem
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


def context_problems(*, project: Path | None = None, workspace: Workspace | None = None) -> list[ContextProblem]:
    """What the guard would refuse in the context of a project's serving image; prepares and writes nothing."""
    from loopline.data.confidential import find_samples
    from loopline.image.guard import context_files, find_problems

    folder, place = project or Path(), workspace or Workspace.default()
    files = context_files(folder, dockerfile="Dockerfile.serve")
    return find_problems(
        folder, files, secrets=_credentials, samples=lambda paths: find_samples(list(paths), workspace=place)
    )


def run_contract(
    name: str,
    service: str | None = None,
    *,
    is_image: bool = False,
    overrides: Sequence[str] = (),
    memory_mib: int | None = None,
    workspace: Workspace | None = None,
) -> ContractRun:
    """Runs the server of a model, or an image (`is_image`), as the platform of contract `name` would.

    A contract of jobs trains with `overrides`. The server is asked with the bundle's first reference input. Raises
    `UnknownName` for a contract that does not exist, and `InputError` for a service without a model or an image.
    """
    from loopline.contract import read_contract, run_job, run_service

    place = workspace or Workspace.default()
    contract = read_contract(name)
    if service is None and (is_image or contract.kind == "service"):
        raise InputError(
            f"contract '{name}' was given nothing to run; expected a model or, with --image, an image.",
            next_command=f"loopline run --contract {name} NAME@champion",
        )
    with tempfile.TemporaryDirectory(prefix="loopline-image-") as scratch:
        root = Path(scratch) / "root"
        if service is None:
            return run_job(contract, _training(contract, overrides, place), memory_mib=memory_mib)
        if is_image:
            subject, bundle = _unpacked(service, root, overrides), root / "srv" / "model"
            if contract.kind == "job":
                subject = _with_home(subject, contract, place)
        else:
            bundle = _bundle_folder(service, place).resolve()
            subject = _own(service, "serve", [str(bundle)], {str(bundle): bundle}, {})
        if contract.kind == "job":
            return run_job(contract, subject, memory_mib=memory_mib)
        return run_service(contract, subject, example=_example(bundle), memory_mib=memory_mib)


def _unpacked(tag: str, root: Path, arguments: Sequence[str]) -> Subject:
    """An image, as it says that it is started."""
    from loopline.contract import Subject
    from loopline.image import unpack

    # The sandbox's user is not the one who unpacks.
    root.parent.chmod(0o755)
    found = unpack(tag, root)
    return Subject(
        tag,
        (*found.command, *arguments),
        found.environment,
        root=root,
        working_folder=found.working_folder,
        image_bytes=found.num_bytes,
    )


def _training(contract: Contract, overrides: Sequence[str], workspace: Workspace) -> Subject:
    """Training by this Python from this folder."""
    return _with_home(_own("loopline train", "train", overrides, {}, {}), contract, workspace)


def _with_home(subject: Subject, contract: Contract, workspace: Workspace) -> Subject:
    """A job whose workspace is the folder that the platform keeps, with the data of this one."""
    home = contract.environment[contract.output_variables[0]].rstrip("/")
    return replace(
        subject,
        environment={**subject.environment, HOME_VARIABLE: home},
        visible={**subject.visible, f"{home}/data": workspace.data.resolve()},
    )


def _own(
    name: str, kind: Kind, arguments: Sequence[str], visible: Mapping[str, Path], environment: Mapping[str, str]
) -> Subject:
    """The command of an image, run by this Python from this folder."""
    import loopline
    from loopline.contract import Subject
    from loopline.core.tables import EXTEND_VARIABLE
    from loopline.image import image_variables

    here, source = Path.cwd(), Path(loopline.__file__).parents[1]
    settings = ["--config-dir", str(here / "conf")] if kind == "train" and (here / "conf").is_dir() else []
    # A temporary folder of this machine is hidden by the sandbox's own; packages may lie anywhere.
    imported = [Path(entry) for entry in sys.path if Path(entry).is_absolute()]
    shown = (here / "src", here / "conf", source, Path(sys.prefix), Path(sys.base_prefix), *imported)
    return Subject(
        name,
        (sys.executable, "-P", "-m", "loopline", kind, *settings, *arguments),
        {
            **image_variables(kind),
            "PYTHONPATH": os.pathsep.join([str(source), str(here / "src")]),
            EXTEND_VARIABLE: os.environ.get(EXTEND_VARIABLE, ""),
            **environment,
        },
        visible={**{str(path): path for path in shown if path.is_dir()}, **visible},
    )


def _example(folder: Path | None) -> dict[str, Any] | None:
    """The first reference input of a bundle as a JSON body of /predict, where its kind travels as JSON."""
    from loopline.bundle import BUNDLE_FILE, read_bundle, read_reference
    from loopline.contract import example_body

    if folder is None or not (folder / BUNDLE_FILE).is_file():
        return None
    bundle = read_bundle(folder)
    raws, _ = read_reference(folder, bundle)
    return example_body(raws[0], bundle.input_kind)


def _bundle_folder(model: str, workspace: Workspace) -> Path:
    from loopline.subjects import bundle_folder

    return bundle_folder(model, workspace)


def _credentials(path: str, text: str) -> Iterator[tuple[int, str]]:
    from loopline.audit.findings.credentials import find_credentials

    return ((found.line, found.what) for found in find_credentials(path, text))
