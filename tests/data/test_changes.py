"""The difference of two snapshots as a comment: lines of Markdown, and pictures where they may be seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from loopline.core.workspace import Workspace
from loopline.data import Options, snapshot
from loopline.data.changes import write_changes


@pytest.mark.parametrize("confidential", [False, True])
def test_what_changed_is_told_and_shown(
    confidential: bool, digits_folder: Path, workspace: Workspace, tmp_path: Path
) -> None:
    """Pictures that came, went and were relabelled; nothing of a confidential snapshot is drawn."""
    folder = tmp_path / "digits"
    shutil.copytree(digits_folder, folder)
    options = Options(confidential=confidential)
    before = snapshot(folder, name="digits", options=options, workspace=workspace)
    zeros = sorted((folder / "zero").glob("*.png"))
    zeros[0].unlink()
    shutil.copy(next((folder / "nine").glob("*.png")), folder / "one" / "new.png")
    after = snapshot(folder, name="digits", options=options, workspace=workspace)
    report = tmp_path / "report"
    write_changes(f"digits@{before.version}", f"digits@{after.version}", report, workspace=workspace)
    text = (report / "diff.md").read_text()
    assert f"### Data: `digits@{before.version[:12]}` → `digits@{after.version[:12]}`" in text
    assert "| removed | 1 |" in text
    assert "| added | 1 |" in text
    assert (report / "diff.png").is_file() == (not confidential)
    assert ("![What changed](diff.png)" in text) == (not confidential)
    same = write_changes("digits", "digits", tmp_path / "same", workspace=workspace)
    assert same.splits == {}
    assert "Every example is the same." in (tmp_path / "same/diff.md").read_text()
