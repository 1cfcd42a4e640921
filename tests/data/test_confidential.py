"""Samples of confidential snapshots are found wherever they stand, and nothing else is taken for one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loopline.cli.entry import main
from loopline.core.errors import GateRefused, InputError, StateError
from loopline.core.workspace import Workspace
from loopline.data import Options, guard, snapshot
from loopline.data.confidential import holds_blocks, sample_blocks
from loopline.snapshots import open_snapshot
from loopline.transforms.bands import DecodeBands, encode_bands

MakePicture = Callable[..., Path]
BANDS = ("green", "red", "red_edge", "nir")
SECRET = Options(confidential=True, validation_share=0.3, test_share=0)


@pytest.fixture
def secret(tmp_path: Path, workspace: Workspace) -> Path:
    """A folder of 12 plots, of which a confidential snapshot `secret` was made."""
    folder = tmp_path / "plots"
    folder.mkdir()
    for number in range(12):
        samples_CHW = np.random.default_rng(number).integers(0, 60_000, (4, 32, 20), dtype=np.uint16)
        for band, samples_HW in zip(BANDS, samples_CHW, strict=True):
            (folder / f"p{number}_{100 * (number % 4)}kg_{band}.tif").write_bytes(encode_bands(samples_HW[np.newaxis]))
    snapshot(f"plots:{folder}", name="secret", task="regression", options=SECRET, workspace=workspace)
    return folder


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty git repository, which is the current folder."""
    folder = tmp_path / "repository"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    monkeypatch.chdir(folder)
    return folder


def naive(data: bytes, contents: list[bytes]) -> bool:
    """The slow reference: some aligned 64 bytes of a content stand in the data."""
    return any(content[start : start + 64] in data for content in contents for start in range(0, len(content) - 63, 64))


def test_every_form_of_a_sample_is_found(secret: Path, workspace: Workspace, tmp_path: Path) -> None:
    opened = open_snapshot("secret", workspace)
    raw = opened.split("train").raw(3)
    x_HWC = DecodeBands(bands=BANDS)(raw)
    pixels = x_HWC.tobytes()
    forms = {
        "raw": raw,
        "one band as it came": next(secret.glob("p5_*_red_edge.tif")).read_bytes(),
        "decoded": pixels,
        "band after band": x_HWC.transpose(2, 0, 1).tobytes(),
        "127 bytes in other bytes": b"\x01" * 31 + pixels[1000:1127] + b"\xff" * 10,
        "a shard": next((opened.folder / "shards").iterdir()).read_bytes(),
    }
    blocks_B = sample_blocks(opened)
    for name, data in forms.items():
        assert holds_blocks(data, blocks_B), name
        (tmp_path / "x.bin").write_bytes(data)
        with pytest.raises(
            GateRefused, match=r"1 of 1 files hold samples of confidential snapshots \(secret\): '.*x.bin"
        ):
            guard([tmp_path / "x.bin"], workspace=workspace)
    innocent = {
        "63 bytes": pixels[640:703],
        "nothing": b"",
        "a white picture": bytes(4096),
        "other noise": np.random.default_rng(99).bytes(100_000),
        "this file": Path(__file__).read_bytes(),
    }
    for name, data in innocent.items():
        assert not holds_blocks(data, blocks_B), name
        assert not naive(data, [raw, pixels]), name


def test_blocks_are_found_at_every_place_and_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loopline.data.confidential._PIECE_BYTES", 100)
    content = np.random.default_rng(0).bytes(64)
    from loopline.data.confidential import _blocks

    blocks_B = np.sort(_blocks(content))
    noise = np.random.default_rng(1).bytes(400)
    for place in range(0, 337, 7):
        assert holds_blocks(noise[:place] + content + noise[place:], blocks_B)
    assert not holds_blocks(noise, blocks_B)


def test_git_is_asked_for_what_is_tracked_or_staged(secret: Path, workspace: Workspace, repository: Path) -> None:
    (repository / "notes.txt").write_text("nothing of it")
    (repository / "loose.tif").write_bytes(next(secret.iterdir()).read_bytes())
    subprocess.run(["git", "add", "notes.txt"], check=True)
    assert guard(workspace=workspace) == 1
    subprocess.run(["git", "add", "loose.tif"], check=True)
    with pytest.raises(GateRefused, match=r"1 of 2 files .*'loose.tif'") as refusal:
        guard(workspace=workspace)
    assert refusal.value.next_command == "git rm --cached FILE, and keep it out by .gitignore"


def test_git_passes_over_the_folder_of_a_confidential_snapshot(secret: Path, repository: Path, tmp_path: Path) -> None:
    workspace = Workspace(repository / "workspace")
    snapshot(f"plots:{secret}", name="secret", task="regression", options=SECRET, workspace=workspace)
    (workspace.cache / "decoded").mkdir(parents=True)
    (workspace.cache / "decoded" / "x.npy").write_bytes(b"pixels")
    subprocess.run(["git", "add", "--all"], check=True)
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    assert listed == ["workspace/data/.secret.lock"]


def test_what_is_confidential_stays_so(secret: Path, workspace: Workspace) -> None:
    with pytest.raises(StateError, match="dataset 'secret' is confidential; expected a new version of it to be so too"):
        snapshot(
            f"plots:{secret}", name="secret", task="regression", options=Options(test_share=0.3), workspace=workspace
        )


def test_pictures_are_guarded_too_and_public_ones_are_not(pictures: Path, tmp_path: Path, workspace: Workspace) -> None:
    pixels = np.asarray(Image.open(pictures / "cat" / "00.png")).tobytes()
    (tmp_path / "pixels.npy").write_bytes(pixels)
    snapshot(pictures, name="pets", workspace=workspace)
    assert guard([tmp_path / "pixels.npy"], workspace=workspace) == 1
    snapshot(pictures, name="pets", options=Options(confidential=True), workspace=workspace)
    with pytest.raises(GateRefused, match=r"\(pets\)"):
        guard([tmp_path / "pixels.npy"], workspace=workspace)


def test_the_command_searches_and_refuses(
    secret: Path,
    workspace: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(["--home", str(workspace.root), "data", "guard", *arguments])
        output = capsys.readouterr()
        return int(end.value.code or 0), output.out, output.err

    (tmp_path / "notes.txt").write_text("nothing of it")
    code, output, _ = run(str(tmp_path / "notes.txt"))
    assert (code, output) == (0, "1 files searched: none holds a sample of a confidential snapshot.\n")
    code, _, error = run(str(tmp_path / "notes.txt"), str(next(secret.iterdir())))
    assert code == 1
    assert error.startswith("error: 1 of 2 files hold samples of confidential snapshots (secret): ")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    code, _, error = run()
    assert code == 1
    assert "no git repository here to ask for its files" in error


def test_without_git_there_is_nothing_to_ask(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="no git repository here"):
        guard(workspace=workspace)
