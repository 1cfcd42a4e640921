"""From a project to an image: prepared, looked at by the guard, built."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from loopline.core.errors import StateError
from loopline.core.records import ModelBundle, utc_now
from loopline.core.records.image import ImageBuild
from loopline.core.store import write_text
from loopline.image.dockerfile import Accelerator, Kind, dockerfile
from loopline.image.engines import find_engine, run_build
from loopline.image.guard import PREPARED, SampleSearch, SecretSearch, context_files, find_problems, refuse
from loopline.image.locks import LOCK_FILE
from loopline.image.preparing import extensions_of, prepare

Platform = Literal["linux/amd64", "linux/arm64"]
_PIP_FILES = (
    "~/.config/pip/pip.conf",
    "~/.pip/pip.conf",
    "~/Library/Application Support/pip/pip.conf",
    "/etc/pip.conf",
)


@dataclass(frozen=True)
class ImageOptions:
    """How an image is built: its name, for which processor, on which base, by which engine (None: the first found)."""

    tag: str
    platform: Platform = "linux/amd64"
    accelerator: Accelerator = "cpu"
    engine: str | None = None
    # Given to the engine as they are.
    engine_arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """A prepared context: the project's folder, its Dockerfile, and the files that an engine would be sent."""

    project: Path
    dockerfile: str
    files: tuple[str, ...]

    @property
    def num_bytes(self) -> int:
        return sum((self.project / name).stat().st_size for name in self.files)


def dockerfile_of(kind: Kind, project: Path, *, accelerator: Accelerator = "cpu") -> str:
    """The project's own `Dockerfile.KIND` where it has one and the base is the usual one, else the generated text."""
    own = project / f"Dockerfile.{kind}"
    if own.is_file() and accelerator == "cpu":
        return own.read_text(encoding="utf-8")
    return dockerfile(
        kind,
        accelerator=accelerator,
        has_code=(project / "src").is_dir(),
        has_settings=(project / "conf").is_dir(),
    )


def prepare_context(
    kind: Kind,
    project: Path,
    options: ImageOptions,
    *,
    bundle: ModelBundle | None = None,
    bundle_folder: Path | None = None,
) -> Context:
    """Writes `.image/KIND` and lists what an engine would be sent; raises `StateError` where that lacks a part."""
    prepare(kind, project, platform=options.platform, bundle=bundle, folder=bundle_folder)
    name = f"Dockerfile.{kind}"
    if options.accelerator != "cpu" or not (project / name).is_file():
        name = f"{PREPARED}/{kind}/Dockerfile"
        write_text(project / name, dockerfile_of(kind, project, accelerator=options.accelerator))
    files = tuple(context_files(project, dockerfile=name))
    if f"{PREPARED}/{kind}/{LOCK_FILE}" not in files:
        raise StateError(
            f"'.dockerignore' keeps out '{PREPARED}', which holds the pins and the model.",
            next_command=f"echo '!{PREPARED}' >> .dockerignore",
        )
    return Context(project, name, files)


def check_context(context: Context, *, secrets: SecretSearch, samples: SampleSearch) -> None:
    """Raises `GateRefused` where the context holds what must not leave this machine."""
    refuse(find_problems(context.project, context.files, secrets=secrets, samples=samples))


def build(kind: Kind, context: Context, options: ImageOptions, *, bundle: ModelBundle | None = None) -> ImageBuild:
    """Builds the image; raises `StateError` where no engine works here or the build fails."""
    engine = find_engine(options.engine)
    revision = revision_of(context.project)
    started_s = time.perf_counter()
    run_build(engine, _arguments(context, options, revision, bundle))
    return ImageBuild(
        kind=kind,
        tag=options.tag,
        engine=engine.name,
        platform=options.platform,
        revision=revision,
        bundle_digest=None if bundle is None else bundle.digest,
        num_context_files=len(context.files),
        context_bytes=context.num_bytes,
        image_bytes=engine.image_bytes(options.tag),
        seconds=time.perf_counter() - started_s,
        created_at=utc_now(),
    )


def revision_of(project: Path) -> str:
    """The commit of the project, marked where files differ from it; `unknown` without git."""
    command = ["git", "-C", str(project), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    described = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    return described.stdout.strip() or "unknown"


def _arguments(context: Context, options: ImageOptions, revision: str, bundle: ModelBundle | None) -> list[str]:
    values = {
        "REVISION": revision,
        "EXTEND": extensions_of(context.project),
        **({} if bundle is None else {"BUNDLE": bundle.digest}),
    }
    secret = _pip_file()
    return [
        *("--file", str(context.project / context.dockerfile)),
        *("--tag", options.tag),
        *("--platform", options.platform),
        *_flags("--build-arg", [f"{name}={value}" for name, value in values.items()]),
        *(() if secret is None else ("--secret", f"id=pip,src={secret}")),
        *options.engine_arguments,
        str(context.project),
    ]


def _flags(flag: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]


def _pip_file() -> Path | None:
    """This machine's settings of pip, which may name an index with a password: handed over as a secret."""
    given = os.environ.get("PIP_CONFIG_FILE")
    paths = [Path(path).expanduser() for path in ([given] if given else _PIP_FILES)]
    return next((path for path in paths if path.is_file()), None)
