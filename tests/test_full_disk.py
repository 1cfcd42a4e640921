"""A full disk is an error with a name, never the end of the process by a signal, and loses nothing that was there."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from loopline.core.workspace import Workspace
from loopline.data import snapshot
from loopline.snapshots import decoded_inputs, open_snapshot
from loopline.transforms import build_pipeline, image_steps


def test_decoding_onto_a_full_disk_is_an_error(digits_folder: Path, workspace: Workspace, tiny_disk: Path) -> None:
    """Decoded pixels are written through a memory map, where a full disk would otherwise show as SIGBUS."""
    snapshot(digits_folder, name="digits", workspace=workspace)
    steps = image_steps(height=32, width=32, mode="RGB", mean=(0.5,) * 3, std=(0.5,) * 3)
    with pytest.raises(OSError, match="No space left on device") as caught:
        decoded_inputs(open_snapshot("digits", workspace).split("train"), build_pipeline(steps), tiny_disk)
    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value.filename).startswith(str(tiny_disk))
    assert list(tiny_disk.rglob("*.npy")) == []
