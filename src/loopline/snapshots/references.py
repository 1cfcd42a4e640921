"""From what a user types (`fashion`, `fashion@3f2a`, a folder) to a snapshot on disk."""

from __future__ import annotations

from pathlib import Path

from loopline.core.errors import InputError, IntegrityError, UnknownName
from loopline.core.records import DatasetManifest
from loopline.core.store import read_record
from loopline.core.workspace import Workspace
from loopline.snapshots.reader import Snapshot

MANIFEST_FILE = "manifest.json"
VERSIONS_FOLDER = "versions"
SHARDS_FOLDER = "shards"


def find_snapshot(reference: str, workspace: Workspace) -> Path:
    """The dataset folder that a reference (`name`, `name@version`, a folder) means; raises `UnknownName`."""
    place, _ = _parts(reference)
    if (Path(place) / MANIFEST_FILE).is_file():
        return Path(place)
    folder = workspace.data / place
    # A name is one part of a path: anything else would look outside the workspace's folder of datasets.
    if place and Path(place).name == place and (folder / MANIFEST_FILE).is_file():
        return folder
    known = _names(workspace)
    raise UnknownName(
        "snapshot", place, known, next_command="loopline data show" if known else "loopline data get fashion"
    )


def open_snapshot(reference: str, workspace: Workspace) -> Snapshot:
    """Opens a dataset's current version, or the one whose version begins with the prefix after `@`.

    Reads the manifest and the shards' sizes, not their bytes (`loopline data verify` does). Raises `UnknownName` for a
    name or version that does not exist and `IntegrityError` for shards that are missing or cut off.
    """
    folder = find_snapshot(reference, workspace)
    _, prefix = _parts(reference)
    manifest = read_record(DatasetManifest, folder / MANIFEST_FILE if not prefix else _version(folder, prefix))
    for name, split in manifest.splits.items():
        for shard in split.shards:
            if Path(shard.path).parent.as_posix() != SHARDS_FOLDER:
                raise IntegrityError(f"shard '{shard.path}' of split '{name}' lies outside of '{folder}'.")
            path = folder / shard.path
            given = path.stat().st_size if path.is_file() else None
            if given != shard.num_bytes:
                state = "is missing" if given is None else f"has {given} bytes, expected {shard.num_bytes}"
                raise IntegrityError(f"shard '{path}' of split '{name}' {state}.", next_command=_restore(manifest))
    return Snapshot(manifest, folder)


def list_snapshots(workspace: Workspace) -> list[DatasetManifest]:
    """The current manifests of all datasets in a workspace, by name."""
    return [read_record(DatasetManifest, workspace.data / name / MANIFEST_FILE) for name in _names(workspace)]


def _parts(reference: str) -> tuple[str, str]:
    place, at, version = reference.rpartition("@")
    return (place, version) if at else (reference, "")


def _names(workspace: Workspace) -> list[str]:
    return sorted(path.parent.name for path in workspace.data.glob(f"*/{MANIFEST_FILE}"))


def _version(folder: Path, prefix: str) -> Path:
    versions = {path.stem: path for path in (folder / VERSIONS_FOLDER).glob("*.json")}
    matches = [version for version in versions if version.startswith(prefix)]
    if not matches:
        raise UnknownName(
            f"version of snapshot '{folder.name}'",
            prefix,
            [version[:12] for version in versions],
            next_command=f"loopline data show {folder.name}",
        )
    if len(matches) > 1:
        shown = ", ".join(sorted(version[: len(prefix) + 6] for version in matches))
        raise InputError(f"version '{prefix}' of snapshot '{folder.name}' is ambiguous; it begins: {shown}.")
    return versions[matches[0]]


def _restore(manifest: DatasetManifest) -> str:
    return f"make it again from {manifest.source}, or: dvc pull"
