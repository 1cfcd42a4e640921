"""The difference of two snapshots for people: a few lines of Markdown, and pictures of what changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loopline.core.records import SnapshotDiff
from loopline.core.store import write_bytes, write_text
from loopline.core.workspace import Workspace
from loopline.data.audit import diff
from loopline.plots import SheetPicture, picture_sheet
from loopline.snapshots import open_snapshot

REPORT_FILE, PICTURES_FILE = "diff.md", "diff.png"
_NUM_A_ROW, _NUM_IDS = 8, 5
# What is drawn, with the snapshot that holds it.
_DRAWN = ("added", "removed", "changed", "relabelled")


def write_changes(before: str, after: str, folder: Path, *, workspace: Workspace | None = None) -> SnapshotDiff:
    """Writes `diff.md`, and `diff.png` where there are pictures that may be seen, to a folder; returns the difference.

    Nothing of a confidential snapshot is drawn. The Markdown names the picture by its file alone.
    """
    place = workspace or Workspace.default()
    difference = diff(before, after, workspace=place)
    rows = _rows(difference, before, after, place)
    if rows:
        write_bytes(folder / PICTURES_FILE, picture_sheet(rows))
    write_text(folder / REPORT_FILE, _markdown(difference, has_pictures=bool(rows)))
    return difference


def _markdown(difference: SnapshotDiff, *, has_pictures: bool) -> str:
    lines = [f"### Data: `{_short(difference.before)}` → `{_short(difference.after)}`", ""]
    for kind, labels in (("added", difference.labels_added), ("removed", difference.labels_removed)):
        if labels:
            lines += [f"Labels {kind}: {', '.join(labels)}.", ""]
    if not difference.splits:
        return "\n".join([*lines, "Every example is the same.", ""])
    lines += ["| split | change | examples | such as |", "|---|---|---|---|"]
    for split, changes in difference.splits.items():
        for kind in type(changes).model_fields:
            ids: tuple[str, ...] = getattr(changes, kind)
            if ids:
                shown = ", ".join(f"`{name}`" for name in ids[:_NUM_IDS])
                lines.append(f"| {split} | {kind} | {len(ids):,} | {shown}{' …' if len(ids) > _NUM_IDS else ''} |")
    if has_pictures:
        lines += ["", f"![What changed]({PICTURES_FILE})"]
    return "\n".join([*lines, ""])


def _rows(difference: SnapshotDiff, before: str, after: str, workspace: Workspace) -> list[list[SheetPicture]]:
    """A row of pictures for each kind of change in each split."""
    rows = []
    for split, changes in difference.splits.items():
        for kind in _DRAWN:
            ids: tuple[str, ...] = getattr(changes, kind, ())
            row = _pictures(before if kind == "removed" else after, split, ids[:_NUM_A_ROW], kind, workspace)
            rows += [row] if row else []
    return rows


def _pictures(reference: str, split: str, ids: Sequence[str], kind: str, workspace: Workspace) -> list[SheetPicture]:
    snapshot = open_snapshot(reference, workspace)
    if not ids or snapshot.manifest.confidential or snapshot.manifest.input_kind != "image":
        return []
    reader = snapshot.split(split)
    place = {name: index for index, name in enumerate(reader.ids)}
    names = snapshot.manifest.label_names
    found = []
    for name in ids:
        index = place[name]
        label = names[int(reader.targets[index])] if names else f"{reader.targets[index]}"
        found.append(SheetPicture(reader.raw(index), (kind, label), wrong=kind != "added"))
    return found


def _short(reference: str) -> str:
    name, _, version = reference.partition("@")
    return f"{name}@{version[:12]}"
