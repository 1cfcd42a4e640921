"""Snapshots, runs and bundles by address, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cloud.test_deployments import run

from loopline import cloud
from loopline.bundle import read_bundle
from loopline.core.errors import UnknownName
from loopline.core.workspace import Workspace


def test_a_bundle_goes_and_comes(bundle: Path, workspace: Workspace, tmp_path: Path) -> None:
    """Sent, listed, fetched into another workspace, opened there."""
    url = f"file://{tmp_path}/bucket"
    code, text = run(workspace, "store", "push", "bundle", "latest", url)
    assert (code, f"{url}/bundles/{bundle.name}" in text) == (0, True)
    assert "0 files" in run(workspace, "store", "push", "bundle", "latest", url)[1]
    assert run(workspace, "store", "list", url)[1] == f"bundle {bundle.name}\n"
    other = Workspace(tmp_path / "other")
    assert run(other, "store", "pull", "bundle", bundle.name, url)[0] == 0
    assert read_bundle(other.bundles / bundle.name) == read_bundle(bundle)
    with pytest.raises(UnknownName, match=f"bundle 'tinny' does not exist; known: {bundle.name}"):
        cloud.pull("bundle", "tinny", url, workspace=other)


def test_what_does_not_exist_cannot_be_sent(workspace: Workspace, tmp_path: Path) -> None:
    """A snapshot of another name."""
    with pytest.raises(UnknownName, match="snapshot 'fashon' does not exist"):
        cloud.push("data", "fashon", f"file://{tmp_path}/bucket", workspace=workspace)
