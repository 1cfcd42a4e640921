from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loopline.core.errors import InputError, StateError
from loopline.core.records import DatasetManifest
from loopline.core.store import lock
from loopline.core.workspace import Workspace
from loopline.data import Options, checks, snapshot, verify, writer
from loopline.data.checks import Chunk, inspect_chunk
from loopline.data.shards import num_shards
from loopline.snapshots import open_snapshot

MakePicture = Callable[..., Path]


def shard_paths(manifest: DatasetManifest) -> set[str]:
    return {shard.path for split in manifest.splits.values() for shard in split.shards}


def decoded(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float64) / 255


def test_every_picture_is_there_with_its_bytes_and_label(pictures: Path, workspace: Workspace) -> None:
    manifest = snapshot(pictures, name="pets", workspace=workspace)
    assert manifest.label_names == ("cat", "dog")
    assert manifest.input_shape == (6, 8, 3)
    found = {}
    for name in manifest.splits:
        split = open_snapshot("pets", workspace).split(name)
        for index, (example_id, target) in enumerate(zip(split.ids, split.targets, strict=True)):
            found[example_id] = (split.raw(index), manifest.label_names[target])
    expected = {
        f"{label}/{path.name}": (path.read_bytes(), label)
        for label in ("cat", "dog")
        for path in (pictures / label).iterdir()
    }
    assert found == expected


def test_statistics_are_those_of_the_train_pixels(pictures: Path, workspace: Workspace) -> None:
    statistics = snapshot(pictures, name="pets", workspace=workspace).statistics
    train = open_snapshot("pets", workspace).split("train")
    pixels = np.concatenate([decoded(pictures / example_id).reshape(-1, 3) for example_id in train.ids])
    assert statistics is not None
    np.testing.assert_allclose(statistics.mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(statistics.std, pixels.std(axis=0), rtol=1e-12)


def test_statistics_weigh_pixels_of_pictures_of_several_sizes(
    tmp_path: Path, workspace: Workspace, make_picture: MakePicture
) -> None:
    for index in range(8):
        make_picture(tmp_path / "set" / "ab"[index % 2] / f"{index}.png", seed=index, size=(4 + index, 9))
    options = Options(validation_share=0, test_share=0)
    manifest = snapshot(tmp_path / "set", name="set", options=options, workspace=workspace)
    pixels = np.concatenate([decoded(path).reshape(-1, 3) for path in (tmp_path / "set").rglob("*.png")])
    assert manifest.input_shape is None
    assert manifest.statistics is not None
    np.testing.assert_allclose(manifest.statistics.mean, pixels.mean(axis=0), rtol=1e-12)


def test_grey_pictures_have_one_channel_however_they_are_stored(digits: DatasetManifest, tmp_path: Path) -> None:
    assert digits.input_shape == (16, 16, 1)
    assert digits.statistics is not None
    assert len(digits.statistics.mean) == 1


def test_one_coloured_picture_makes_three_channels(
    digits_folder: Path, tmp_path: Path, workspace: Workspace, make_picture: MakePicture
) -> None:
    shutil.copytree(digits_folder, tmp_path / "mixed")
    make_picture(tmp_path / "mixed" / "zero" / "colour.png", size=(16, 16))
    manifest = snapshot(tmp_path / "mixed", name="mixed", workspace=workspace)
    assert manifest.input_shape == (16, 16, 3)
    assert manifest.statistics is not None
    assert len(manifest.statistics.std) == 3


def test_the_version_depends_on_content_alone(pictures: Path, tmp_path: Path, workspace: Workspace) -> None:
    first = snapshot(pictures, name="pets", workspace=workspace)
    shutil.copytree(pictures, tmp_path / "elsewhere")
    options = Options(licence="CC0", confidential=True)
    second = snapshot(tmp_path / "elsewhere", name="other", options=options, workspace=Workspace(tmp_path / "w2"))
    assert first.version == second.version
    assert (second.licence, second.confidential) == ("CC0", True)


def test_nothing_new_returns_the_manifest_that_is_there(pictures: Path, workspace: Workspace) -> None:
    assert snapshot(pictures, name="pets", workspace=workspace) == snapshot(pictures, name="pets", workspace=workspace)


def test_a_new_licence_rewrites_the_manifest_of_the_same_version(pictures: Path, workspace: Workspace) -> None:
    first = snapshot(pictures, name="pets", workspace=workspace)
    second = snapshot(pictures, name="pets", options=Options(licence="CC0"), workspace=workspace)
    assert (second.version, second.parent) == (first.version, None)
    assert open_snapshot("pets", workspace).manifest.licence == "CC0"


def test_one_changed_file_changes_two_shards_and_names_its_parent(
    pictures: Path, workspace: Workspace, make_picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Shards of 512 bytes give this little folder as many as a large one has.
    monkeypatch.setattr("loopline.data.shards._SMALL_BYTES", 512)
    options = Options(validation_share=0, test_share=0)
    before = snapshot(pictures, name="pets", options=options, workspace=workspace)
    make_picture(pictures / "cat" / "00.png", seed=999)
    after = snapshot(pictures, name="pets", options=options, workspace=workspace)
    assert len(shard_paths(before)) > 10
    assert len(shard_paths(before) - shard_paths(after)) <= 2
    assert len(shard_paths(after) - shard_paths(before)) <= 2
    assert after.parent == before.version
    assert verify(f"pets@{before.version[:8]}", workspace=workspace).num_examples == 40


def test_adding_files_moves_no_example_between_splits(
    pictures: Path, workspace: Workspace, make_picture: MakePicture
) -> None:
    snapshot(pictures, name="pets", workspace=workspace)
    old = {name: set(open_snapshot("pets", workspace).split(name).ids) for name in ("train", "validation", "test")}
    for index in range(30):
        make_picture(pictures / "fish" / f"{index}.png", seed=500 + index)
    snapshot(pictures, name="pets", workspace=workspace)
    for name, ids in old.items():
        assert ids <= set(open_snapshot("pets", workspace).split(name).ids)


def test_broken_files_are_refused_with_their_reasons(pictures: Path, workspace: Workspace) -> None:
    whole = (pictures / "cat" / "00.png").read_bytes()
    Image.open(pictures / "cat" / "01.png").save(pictures / "cat" / "01.jpg")
    jpeg = (pictures / "cat" / "01.jpg").read_bytes()
    (pictures / "cat" / "01.jpg").write_bytes(jpeg[: len(jpeg) - 40])
    (pictures / "cat" / "00.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "cat" / "empty.png").write_bytes(b"")
    (pictures / "dog" / "notes.png").write_text("not a picture")
    with pytest.raises(InputError) as refusal:
        snapshot(pictures, name="pets", workspace=workspace)
    assert "4 of 43 files" in refusal.value.message
    for sentence in (
        "cat/00.png: the PNG file is broken or truncated",
        "cat/01.jpg: the JPEG file is broken or truncated",
        "cat/empty.png: an empty file given",
        "dog/notes.png: a file of 13 bytes that is no picture given",
    ):
        assert sentence in refusal.value.message
    assert "--skip-broken" in str(refusal.value.next_command)
    assert not (workspace.data / "pets").exists()


def test_skipped_files_are_listed_in_the_manifest(pictures: Path, workspace: Workspace) -> None:
    (pictures / "cat" / "00.png").write_bytes(b"broken")
    (pictures / "loose.txt").write_text("x")
    manifest = snapshot(pictures, name="pets", options=Options(skip_broken=True), workspace=workspace)
    assert [file.path for file in manifest.skipped] == ["cat/00.png", "loose.txt"]
    assert sum(split.num_examples for split in manifest.splits.values()) == 39


def test_a_long_list_of_broken_files_is_cut(pictures: Path, workspace: Workspace) -> None:
    for path in (pictures / "cat").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="and 15 more"):
        snapshot(pictures, name="pets", workspace=workspace)


def test_a_file_that_cannot_be_read_has_its_reason(tmp_path: Path) -> None:
    found, _ = inspect_chunk(Chunk("image", [str(tmp_path / "gone.png"), str(tmp_path)]))
    assert found.reasons[0] == "the file cannot be read: No such file or directory."
    assert found.reasons[1].startswith("the file cannot be read: ")


def test_duplicates_across_given_splits_are_reported(
    tmp_path: Path, workspace: Workspace, make_picture: MakePicture
) -> None:
    for index in range(30):
        make_picture(tmp_path / "set" / "train" / "ab"[index % 2] / f"{index}.png", seed=index)
    for index in (0, 7, 100):
        make_picture(tmp_path / "set" / "test" / "ab"[index % 2] / f"copy{index}.png", seed=index)
    options = Options(validation_share=0)
    manifest = snapshot(tmp_path / "set", name="set", options=options, workspace=workspace)
    assert sorted(duplicate.ids for duplicate in manifest.duplicates) == [
        ("train/a/0.png", "test/a/copy0.png"),
        ("train/b/7.png", "test/b/copy7.png"),
    ]


def test_duplicates_in_a_folder_without_splits_share_their_split(
    tmp_path: Path, workspace: Workspace, make_picture: MakePicture
) -> None:
    for index in range(60):
        for copy in "xy":
            make_picture(tmp_path / "set" / "ab"[index % 2] / f"{index}{copy}.png", seed=index)
    manifest = snapshot(tmp_path / "set", name="set", workspace=workspace)
    assert manifest.duplicates == ()
    assert all(split.num_examples % 2 == 0 for split in manifest.splits.values())


def test_one_class_and_no_class_are_refused(tmp_path: Path, workspace: Workspace, make_picture: MakePicture) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no usable example"):
        snapshot(tmp_path / "empty", name="x", workspace=workspace)
    make_picture(tmp_path / "one" / "cat" / "1.png")
    with pytest.raises(InputError, match="has one class only, 'cat'; classification needs at least two"):
        snapshot(tmp_path / "one", name="x", workspace=workspace)


def test_too_few_examples_for_a_split_are_refused(
    tmp_path: Path, workspace: Workspace, make_picture: MakePicture
) -> None:
    make_picture(tmp_path / "few" / "cat" / "1.png", seed=1)
    make_picture(tmp_path / "few" / "dog" / "2.png", seed=2)
    with pytest.raises(InputError, match="no example falls into split 'validation': 2 examples are too few"):
        snapshot(tmp_path / "few", name="x", workspace=workspace)


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../up", "-x", "a" * 101])
def test_a_name_that_is_no_folder_name_is_refused(pictures: Path, workspace: Workspace, name: str) -> None:
    with pytest.raises(InputError, match="expected letters, digits"):
        snapshot(pictures, name=name, workspace=workspace)


def test_a_dataset_in_use_by_another_process_is_refused(pictures: Path, workspace: Workspace) -> None:
    with (
        lock(workspace.data / ".pets.lock", holder="the test"),
        pytest.raises(StateError, match="dataset 'pets' is in use"),
    ):
        snapshot(pictures, name="pets", workspace=workspace)


def test_a_file_that_changes_during_the_snapshot_is_refused(
    pictures: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is kept between checking and writing, as in a large dataset.
    monkeypatch.setattr("loopline.data.listing._KEPT_BYTES", 0)
    split = writer._split

    def change_and_split(*arguments: object) -> object:
        (pictures / "cat" / "00.png").write_bytes((pictures / "dog" / "00.png").read_bytes())
        return split(*arguments)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(writer, "_split", change_and_split)
    with pytest.raises(InputError, match=r"'cat/00\.png' changed while the snapshot was made"):
        snapshot(pictures, name="pets", workspace=workspace)


def test_many_files_are_checked_in_other_processes_with_the_same_result(
    pictures: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = snapshot(pictures, name="pets", workspace=workspace)
    monkeypatch.setattr("loopline.data.checks._MIN_PARALLEL", 1)
    (pictures / "cat" / "broken.png").write_bytes(b"broken")
    together = snapshot(
        pictures, name="pets", options=Options(skip_broken=True), workspace=Workspace(tmp_path / "other")
    )
    assert together.version == alone.version
    assert [file.path for file in together.skipped] == ["cat/broken.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_at_any_moment_the_old_version_stays_whole(
    pictures: Path, workspace: Workspace, make_picture: MakePicture
) -> None:
    old = snapshot(pictures, name="pets", workspace=workspace)
    for index in range(20):
        make_picture(pictures / "cat" / f"{index:02d}.png", seed=1000 + index)
    # The child stops itself before its n-th rename, for n = 1, 2, … until it gets through.
    script = (
        "import os, pathlib, signal, sys\n"
        "left = int(sys.argv[1]); rename = pathlib.Path.replace\n"
        "def count(self, target):\n"
        "    global left; left -= 1\n"
        "    if left == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return rename(self, target)\n"
        "pathlib.Path.replace = count\n"
        "from loopline.core.workspace import Workspace; from loopline.data import snapshot\n"
        "snapshot(sys.argv[2], name='pets', workspace=Workspace(pathlib.Path(sys.argv[3])))\n"
    )
    for num_renames in range(1, 20):
        command = [sys.executable, "-c", script, str(num_renames), str(pictures), str(workspace.root)]
        code = subprocess.run(command, check=False).returncode
        version = verify("pets", workspace=workspace).version
        if code == 0:
            assert version != old.version
            break
        assert code == -signal.SIGKILL
        assert version == old.version
    else:
        pytest.fail("the snapshot never got through")
    assert not list(workspace.data.rglob("*.tmp"))
    assert verify(f"pets@{old.version}", workspace=workspace).version == old.version


def test_the_number_of_shards_is_tens_for_megabytes_and_gigabytes() -> None:
    mib = 1 << 20
    assert [num_shards(size * mib) for size in (0, 4, 5, 60, 140, 1024, 4096, 10**9)] == [1, 1, 2, 16, 16, 16, 64, 4096]


def test_a_snapshot_loads_neither_pandas_nor_torch(pictures: Path, workspace: Workspace) -> None:
    script = (
        "import sys, pathlib; from loopline.core.workspace import Workspace; from loopline.data import snapshot\n"
        "snapshot(sys.argv[1], name='pets', workspace=Workspace(pathlib.Path(sys.argv[2])))\n"
        "print([name for name in ('pandas', 'torch', 'scipy') if name in sys.modules])"
    )
    command = [sys.executable, "-c", script, str(pictures), str(workspace.root)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"


def test_unchanged_files_are_not_read_again(
    pictures: Path, workspace: Workspace, make_picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = time.time() - 60
    for path in pictures.rglob("*.png"):
        os.utime(path, (old, old))
    snapshot(pictures, name="pets", workspace=workspace)
    read: list[str] = []

    def remember(path: str) -> bytes:
        read.append(Path(path).name)
        return Path(path).read_bytes()

    monkeypatch.setattr(checks, "read_file", remember)
    make_picture(pictures / "cat" / "new.png", seed=77)
    (pictures / "dog" / "00.png").unlink()
    make_picture(pictures / "dog" / "01.png", seed=78)
    manifest = snapshot(pictures, name="pets", workspace=workspace)
    assert sorted(read) == ["01.png", "new.png"]
    fresh = snapshot(pictures, name="pets", workspace=Workspace(workspace.root / "fresh"))
    assert (manifest.version, manifest.statistics) == (fresh.version, fresh.statistics)


def test_a_file_changed_just_now_is_read_again_even_if_it_looks_the_same(pictures: Path, workspace: Workspace) -> None:
    first, second = pictures / "cat" / "00.png", pictures / "cat" / "01.png"
    now = time.time()
    size = max(first.stat().st_size, second.stat().st_size)
    pairs = [path.read_bytes() + b"\0" * (size - path.stat().st_size) for path in (first, second)]
    first.write_bytes(pairs[0])
    os.utime(first, (now, now))
    before = snapshot(pictures, name="pets", workspace=workspace)
    first.write_bytes(pairs[1])
    os.utime(first, (now, now))
    assert snapshot(pictures, name="pets", workspace=workspace).version != before.version


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_a_damaged_index_is_made_again(pictures: Path, workspace: Workspace, damage: bytes) -> None:
    version = snapshot(pictures, name="pets", workspace=workspace).version
    (index,) = (workspace.cache / "stat-index").glob("*.npz")
    index.write_bytes(damage)
    assert snapshot(pictures, name="pets", workspace=workspace).version == version
