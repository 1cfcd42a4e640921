from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from loopline.core.errors import IntegrityError, UnknownName
from loopline.core.records import SplitDiff
from loopline.core.store import digest_file, read_json, write_json
from loopline.core.workspace import Workspace
from loopline.data import Options, diff, show, snapshot, verify

MakePicture = Callable[..., Path]
ALL_TRAIN = Options(validation_share=0, test_share=0)


def test_show_gives_the_manifest(pictures: Path, workspace: Workspace) -> None:
    manifest = snapshot(pictures, name="pets", workspace=workspace)
    assert show("pets", workspace=workspace) == manifest
    with pytest.raises(UnknownName):
        show("cats", workspace=workspace)


def test_verify_counts_what_it_read(pictures: Path, workspace: Workspace) -> None:
    manifest = snapshot(pictures, name="pets", workspace=workspace)
    check = verify("pets", workspace=workspace)
    assert (check.name, check.version, check.num_examples) == ("pets", manifest.version, 40)
    assert check.num_shards == sum(len(split.shards) for split in manifest.splits.values())


def test_one_flipped_byte_in_a_shard_is_found(pictures: Path, workspace: Workspace) -> None:
    manifest = snapshot(pictures, name="pets", workspace=workspace)
    shard = workspace.data / "pets" / manifest.splits["train"].shards[0].path
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"has digest .*; the manifest says"):
        verify("pets", workspace=workspace)


def test_a_damaged_shard_is_mended_by_making_the_snapshot_again(pictures: Path, workspace: Workspace) -> None:
    manifest = snapshot(pictures, name="pets", workspace=workspace)
    first, second = (workspace.data / "pets" / manifest.splits[name].shards[0].path for name in ("train", "test"))
    first.write_bytes(first.read_bytes()[:-1])
    second.unlink()
    assert snapshot(pictures, name="pets", workspace=workspace) == manifest
    assert verify("pets", workspace=workspace).version == manifest.version


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("rows_digest", "the rows of shard"),
        ("split", "the rows of split 'train'"),
        ("version", "the content of 'pets'"),
    ],
)
def test_a_manifest_that_does_not_agree_with_itself_is_found(
    pictures: Path, workspace: Workspace, key: str, message: str
) -> None:
    snapshot(pictures, name="pets", options=ALL_TRAIN, workspace=workspace)
    path = workspace.data / "pets" / "manifest.json"
    manifest = read_json(path)
    train = manifest["splits"]["train"]
    if key == "rows_digest":
        train["shards"][0]["rows_digest"] = "0" * 64
    elif key == "split":
        train["digest"] = "0" * 64
    else:
        manifest["version"] = "0" * 64
    write_json(path, manifest)
    with pytest.raises(IntegrityError, match=message):
        verify("pets", workspace=workspace)


def test_a_swapped_shard_with_a_true_file_digest_is_found(pictures: Path, workspace: Workspace) -> None:
    snapshot(pictures, name="pets", workspace=workspace)
    path = workspace.data / "pets" / "manifest.json"
    manifest = read_json(path)
    train, test = (manifest["splits"][name]["shards"][0] for name in ("train", "test"))
    other = workspace.data / "pets" / test["path"]
    train.update(path=test["path"], digest=digest_file(other), num_bytes=other.stat().st_size)
    write_json(path, manifest)
    with pytest.raises(IntegrityError, match="the rows of shard"):
        verify("pets", workspace=workspace)


def test_a_diff_names_every_kind_of_change(pictures: Path, workspace: Workspace, make_picture: MakePicture) -> None:
    before = snapshot(pictures, name="pets", options=ALL_TRAIN, workspace=workspace)
    make_picture(pictures / "cat" / "new.png", seed=900)
    make_picture(pictures / "fish" / "00.png", seed=901)
    make_picture(pictures / "cat" / "01.png", seed=902)
    (pictures / "dog" / "05.png").unlink()
    after = snapshot(pictures, name="pets", options=ALL_TRAIN, workspace=workspace)
    difference = diff(f"pets@{before.version}", "pets", workspace=workspace)
    assert difference.before == f"pets@{before.version}"
    assert difference.after == f"pets@{after.version}"
    assert difference.labels_added == ("fish",)
    assert difference.splits == {
        "train": SplitDiff(added=("cat/new.png", "fish/00.png"), removed=("dog/05.png",), changed=("cat/01.png",))
    }


def test_a_diff_of_the_same_content_is_empty(pictures: Path, tmp_path: Path, workspace: Workspace) -> None:
    snapshot(pictures, name="pets", workspace=workspace)
    shutil.copytree(pictures, tmp_path / "copy")
    snapshot(tmp_path / "copy", name="copy", workspace=workspace)
    difference = diff("pets", "copy", workspace=workspace)
    assert (difference.splits, difference.labels_added, difference.labels_removed) == ({}, (), ())


def test_labels_are_compared_by_name_when_their_numbers_move(
    tmp_path: Path, workspace: Workspace, make_picture: MakePicture
) -> None:
    rows = []
    for index in range(10):
        make_picture(tmp_path / f"{index}.png", seed=index)
        rows.append(f"{index}.png,{'bc'[index % 2]}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["path,label", *rows]))
    snapshot(table, name="before", options=ALL_TRAIN, workspace=workspace)
    # A label before all others renumbers them; only the relabelled picture differs.
    table.write_text("\n".join(["path,label", "0.png,a", *rows[1:]]))
    snapshot(table, name="after", options=ALL_TRAIN, workspace=workspace)
    difference = diff("before", "after", workspace=workspace)
    assert difference.labels_added == ("a",)
    assert difference.splits == {"train": SplitDiff(relabelled=("0.png",))}


def test_a_split_that_one_side_lacks_is_all_added_or_removed(pictures: Path, workspace: Workspace) -> None:
    before = snapshot(pictures, name="pets", options=ALL_TRAIN, workspace=workspace)
    snapshot(pictures, name="pets", options=Options(test_share=0), workspace=workspace)
    splits = diff(f"pets@{before.version}", "pets", workspace=workspace).splits
    assert splits["validation"].added == splits["train"].removed
    assert len(splits["validation"].added) > 0
