"""From a reference to a version, and from a version to the folder of its bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from loopline.aliases import database, server
from loopline.aliases.reference import check_name, parse_reference
from loopline.aliases.row import BUNDLE_FOLDER, VersionRow, is_ours, to_version
from loopline.core.errors import InputError, IntegrityError, UnknownName
from loopline.core.records import ModelVersion
from loopline.core.store import lock
from loopline.core.workspace import Workspace

_SQLITE = "sqlite:///"
# Digits of the bundle's digest that name a folder.
_DIGITS = 12


class Backend(Protocol):
    """What the modules `database` and `server` both offer; `where` is a file's path or an address."""

    def read_rows(self, where: str, name: str | None, /) -> list[VersionRow]:
        """The versions of all models, or of one, by name and number."""

    def read_tags(self, where: str, name: str, /) -> dict[str, str]:
        """The tags of a registered model; none where it does not exist."""


def resolve_version(reference: str, workspace: Workspace) -> ModelVersion:
    """The version that `name@alias`, `name@number` or `name` (its champion) stands for.

    Raises `InputError` for another form and `UnknownName` for a model, alias or number that does not exist.
    """
    name, selector = parse_reference(reference)
    own = list_versions(workspace, name=name)
    if not own:
        known = sorted({version.name for version in list_versions(workspace)})
        raise UnknownName("model", name, known, next_command=f"loopline register BUNDLE --name {name}")
    if selector.isdecimal():
        matches = [version for version in own if version.number == int(selector)]
        kind, names = "version", [str(version.number) for version in own]
    else:
        matches = [version for version in own if selector in version.aliases]
        kind, names = "alias", [alias for version in own for alias in version.aliases]
    if not matches:
        raise UnknownName(kind, selector, names, of=f"model '{name}'", next_command=f"loopline models {name}")
    return matches[0]


def list_versions(workspace: Workspace, *, name: str | None = None) -> list[ModelVersion]:
    """Every version with the aliases that point to it now, by name and number; none where nothing was registered.

    What another program registered is left out: it holds no bundle.
    """
    if name is not None:
        check_name(name, kind="model name")
    backend, where = _backend(workspace)
    return [to_version(row) for row in backend.read_rows(where, name) if is_ours(row)]


def model_tags(name: str, workspace: Workspace) -> dict[str, str]:
    """The tags of a registered model as a whole; none where it does not exist."""
    check_name(name, kind="model name")
    backend, where = _backend(workspace)
    return backend.read_tags(where, name)


def bundle_folder(version: ModelVersion, workspace: Workspace) -> Path:
    """The folder of a version's bundle, downloaded once to the workspace's cache where the registry is a server.

    A workspace that was moved or mounted elsewhere is found by the place in it. Raises `IntegrityError` where the
    folder is gone.
    """
    if urlsplit(version.source).scheme == server.ARTIFACT_SCHEME:
        cached = workspace.cache / "registry" / version.bundle_digest[:_DIGITS]
        with lock(cached.with_suffix(".lock"), holder=f"the download of {version.reference}", timeout_s=600):
            if not cached.exists():
                server.download_bundle(registry_uri(workspace), version.source, cached)
        return cached
    registered = Path(version.source)
    moved = model_folder(version.name, version.bundle_digest, workspace) / BUNDLE_FOLDER
    for folder in (registered, moved):
        if folder.is_dir():
            return folder
    raise IntegrityError(
        f"the bundle of {version.reference} is gone from '{registered}'.",
        next_command=f"loopline register BUNDLE --name {version.name}",
    )


def model_folder(name: str, digest: str, workspace: Workspace) -> Path:
    """Where in a workspace the MLflow model folder lies that holds the bundle with this digest."""
    return workspace.artifacts / "models" / name / digest[:_DIGITS]


def registry_uri(workspace: Workspace) -> str:
    """MLFLOW_REGISTRY_URI or MLFLOW_TRACKING_URI where set, as for MLflow itself; else the workspace's SQLite file."""
    given = os.environ.get("MLFLOW_REGISTRY_URI") or os.environ.get("MLFLOW_TRACKING_URI")
    return given or workspace.tracking_uri


def shown_uri(workspace: Workspace) -> str:
    """The registry's URI as messages show it, without the name and password that it may hold."""
    return server.without_credentials(registry_uri(workspace))


def _backend(workspace: Workspace) -> tuple[Backend, str]:
    """The module that reads the registry, and what it reads."""
    uri = registry_uri(workspace)
    if uri.startswith(_SQLITE):
        return database, uri.removeprefix(_SQLITE)
    if uri.startswith(("http://", "https://")):
        return server, uri
    scheme = uri.partition(":")[0]
    raise InputError(
        f"the registry is '{scheme}:…'; Loopline reads sqlite:///FILE, http:// and https://.",
        next_command="mlflow server --backend-store-uri URI, and MLFLOW_TRACKING_URI=http://localhost:5000",
    )
