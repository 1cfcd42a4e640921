"""Snapshots, runs and bundles of a workspace, in a bucket: `URL/data/…`, `URL/runs/…`, `URL/bundles/…`, as here."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from loopline.bundle import folder_name, read_bundle
from loopline.core.errors import UnknownName
from loopline.core.workspace import Workspace
from loopline.runs import find_run
from loopline.storage import Copied, open_place, pull_folder, push_folder, read_listing
from loopline.storage.copying import LISTING
from loopline.subjects import bundle_folder

Kind = Literal["data", "run", "bundle"]
_ROOMS: dict[Kind, str] = {"data": "data", "run": "runs", "bundle": "bundles"}


def push(kind: Kind, reference: str, url: str, *, workspace: Workspace | None = None) -> tuple[str, Copied]:
    """Sends a snapshot, a run or a bundle; returns its address there and what was sent.

    Raises `UnknownName` for one that does not exist and `StateError` where the store refuses.
    """
    place = workspace or Workspace.default()
    folder = _folder(kind, reference, place)
    name = folder_name(read_bundle(folder)) if kind == "bundle" else folder.name
    there = open_place(f"{url.rstrip('/')}/{_ROOMS[kind]}/{name}")
    return there.url, push_folder(folder, there)


def pull(kind: Kind, name: str, url: str, *, workspace: Workspace | None = None) -> tuple[Path, Copied]:
    """Fetches what `push` sent, by the name that `stored` lists; returns its folder here.

    A bundle is opened as ever afterwards: every byte is checked against its own record, too.
    """
    place = workspace or Workspace.default()
    known = stored(kind, url)
    if name not in known:
        raise UnknownName(kind, name, known, next_command=f"loopline store list {url}")
    folder = place.root / _ROOMS[kind] / name
    copied = pull_folder(open_place(f"{url.rstrip('/')}/{_ROOMS[kind]}/{name}"), folder)
    if kind == "bundle":
        read_bundle(folder)
    return folder, copied


def stored(kind: Kind, url: str) -> list[str]:
    """The names of what lies whole in a bucket."""
    room = open_place(f"{url.rstrip('/')}/{_ROOMS[kind]}")
    names = {path.partition("/")[0] for path in room.sizes() if path.endswith(f"/{LISTING}") and path.count("/") == 1}
    return sorted(name for name in names if read_listing(room.folder(name)).complete)


def _folder(kind: Kind, reference: str, workspace: Workspace) -> Path:
    if kind == "bundle":
        return bundle_folder(reference, workspace)
    if kind == "run":
        return workspace.runs / find_run(reference, workspace).run_id
    folder = workspace.data / reference
    if not folder.is_dir():
        known = [path.name for path in workspace.data.glob("*") if path.is_dir()]
        raise UnknownName("snapshot", reference, known, next_command="loopline data get fashion")
    return folder
