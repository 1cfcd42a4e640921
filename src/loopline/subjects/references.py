"""From what a user types to a run, a bundle or a snapshot that exists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loopline.bundle import find_bundle, folder_name
from loopline.core.errors import UnknownName
from loopline.core.records import DatasetRef, ModelBundle, ModelVersion, Run, Signature
from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.snapshots import Snapshot


def bundle_folder(reference: ModelBundle | ModelVersion | str, workspace: Workspace) -> Path:
    """The folder of a bundle, whichever way it is named."""
    if isinstance(reference, ModelBundle):
        return workspace.bundles / folder_name(reference)
    return find_bundle(reference.reference if isinstance(reference, ModelVersion) else reference, workspace)


def run_files(folder: Path, signature: Signature) -> dict[str, bytes]:
    """The files that the preprocess of a run names, such as a tokenizer, from the run's folder."""
    return {name: (folder / "files" / name).read_bytes() for name in signature.files}


def find_run_if_here(reference: str, workspace: Workspace) -> Run | None:
    """The run that a reference names, or None where this workspace has no such run."""
    from loopline.runs import find_run

    try:
        return find_run(reference, workspace)
    except UnknownName:
        return None


def open_dataset(dataset: DatasetRef, workspace: Workspace) -> Snapshot:
    """The snapshot that a record refers to, in the very version."""
    from loopline.snapshots import open_snapshot

    return open_snapshot(f"{dataset.name}@{dataset.version}", workspace)
