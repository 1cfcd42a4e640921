"""Reading snapshots: references, splits, decoded inputs, and the workers that decode them."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from loopline.core.errors import InputError, IntegrityError, StateError, UnknownName
from loopline.core.records import DatasetManifest, TransformStep
from loopline.core.store import read_json, write_json
from loopline.core.workspace import Workspace
from loopline.data import Options, snapshot
from loopline.snapshots import decoded_inputs, find_snapshot, list_snapshots, open_snapshot
from loopline.snapshots.reader import SplitReader
from loopline.snapshots.workers import map_chunks
from loopline.transforms import Pipeline, build_pipeline, image_steps


@pytest.fixture
def digits(digits_folder: Path, workspace: Workspace) -> DatasetManifest:
    """The snapshot `digits` of the 400 handwritten digits."""
    return snapshot(digits_folder, name="digits", workspace=workspace)


@pytest.fixture
def train(digits: DatasetManifest, workspace: Workspace) -> SplitReader:
    """Its train split."""
    return open_snapshot("digits", workspace).split("train")


def pipeline(size: int = 16) -> Pipeline:
    return build_pipeline(image_steps(height=size, width=size, mode="L", mean=[0.5], std=[0.5]))


def test_a_name_a_version_and_a_folder_mean_the_same_snapshot(digits: DatasetManifest, workspace: Workspace) -> None:
    folder = workspace.data / "digits"
    for reference in ("digits", f"digits@{digits.version}", f"digits@{digits.version[:6]}", str(folder)):
        assert find_snapshot(reference, workspace) == folder
        assert open_snapshot(reference, workspace).manifest == digits


def test_an_older_version_is_opened_by_its_prefix(
    digits: DatasetManifest, digits_folder: Path, workspace: Workspace
) -> None:
    options = Options(validation_share=0.2)
    newer = snapshot(digits_folder, name="digits", options=options, workspace=workspace)
    assert newer.parent == digits.version
    assert open_snapshot("digits", workspace).manifest.version == newer.version
    older = open_snapshot(f"digits@{digits.version[:8]}", workspace)
    assert older.manifest == digits
    assert older.reference == f"digits@{digits.version}"


def test_unknown_names_say_what_there_is(digits: DatasetManifest, workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"snapshot 'digist' does not exist; known: digits. Did you mean 'digits'"):
        open_snapshot("digist", workspace)
    with pytest.raises(UnknownName, match=r"there is none yet. Next: loopline data get fashion"):
        open_snapshot("fashion", Workspace(tmp_path / "empty"))
    with pytest.raises(UnknownName, match="version of snapshot 'digits' 'ffffffffff' does not exist"):
        open_snapshot("digits@ffffffffff", workspace)
    with pytest.raises(UnknownName, match="split of snapshot 'digits' 'tset' does not exist; known: test"):
        open_snapshot("digits", workspace).split("tset")


@pytest.mark.parametrize("reference", ["", "../data/digits2", ".", "@", "/nowhere"])
def test_references_cannot_leave_the_folder_of_datasets(
    digits: DatasetManifest, workspace: Workspace, reference: str
) -> None:
    with pytest.raises(UnknownName):
        find_snapshot(reference, workspace)


def test_an_ambiguous_version_is_refused(digits: DatasetManifest, workspace: Workspace) -> None:
    versions = workspace.data / "digits" / "versions"
    (versions / f"{digits.version[:-1]}x.json").write_text("{}")
    with pytest.raises(InputError, match="is ambiguous; it begins"):
        open_snapshot(f"digits@{digits.version[:4]}", workspace)


def test_all_snapshots_are_listed_by_name(digits: DatasetManifest, digits_folder: Path, workspace: Workspace) -> None:
    snapshot(digits_folder, name="again", workspace=workspace)
    assert [manifest.name for manifest in list_snapshots(workspace)] == ["again", "digits"]
    assert list_snapshots(Workspace(workspace.root / "empty")) == []


def test_missing_and_cut_shards_are_found_on_opening(digits: DatasetManifest, workspace: Workspace) -> None:
    shard = workspace.data / "digits" / digits.splits["train"].shards[0].path
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(IntegrityError, match=f"has {len(whole) - 1} bytes, expected {len(whole)}"):
        open_snapshot("digits", workspace)
    shard.unlink()
    with pytest.raises(IntegrityError, match="of split 'train' is missing"):
        open_snapshot("digits", workspace)


def test_a_shard_outside_of_the_dataset_is_refused(digits: DatasetManifest, workspace: Workspace) -> None:
    path = workspace.data / "digits" / "manifest.json"
    manifest = read_json(path)
    manifest["splits"]["train"]["shards"][0]["path"] = "shards/../../../secret.parquet"
    write_json(path, manifest)
    with pytest.raises(IntegrityError, match="lies outside of"):
        open_snapshot("digits", workspace)


def test_a_split_gives_ids_targets_and_bytes(train: SplitReader, digits_folder: Path, digits: DatasetManifest) -> None:
    assert len(train) == train.num_examples == len(train.ids) == len(train.targets)
    assert train.targets.dtype == np.int64
    for index in (0, 7, len(train) - 1):
        assert train.raw(index) == (digits_folder / train.ids[index]).read_bytes()
        assert train.ids[index].split("/")[0] == digits.label_names[train.targets[index]]
    assert str(train.num_examples) in repr(train)


def test_many_inputs_come_in_the_order_asked_for_across_row_groups(
    digits_folder: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loopline.data.shards._ROW_GROUP_BYTES", 2000)
    monkeypatch.setattr("loopline.data.shards._SMALL_BYTES", 20_000)
    snapshot(digits_folder, name="small", workspace=workspace)
    split = open_snapshot("small", workspace).split("train")
    assert len(split._group_places) > 16
    indices = np.random.default_rng(0).integers(0, len(split), 100).tolist()
    assert split.raw_many(indices) == [(digits_folder / split.ids[index]).read_bytes() for index in indices]
    assert split.raw_many([]) == []


def test_an_index_out_of_range_is_an_index_error(train: SplitReader) -> None:
    for index in (-1, len(train)):
        with pytest.raises(IndexError, match="has examples 0 to"):
            train.raw(index)


def test_a_split_travels_to_another_process_as_its_path(train: SplitReader) -> None:
    expected = train.raw(3)
    packed = pickle.dumps(train)
    assert len(packed) < 3000
    assert pickle.loads(packed).raw(3) == expected  # noqa: S301 - our own


def test_a_split_can_be_read_in_threads(train: SplitReader) -> None:
    expected = train.raw_many(range(len(train)))
    found: dict[int, bytes] = {}

    def read(start: int) -> None:
        for index in range(start, len(train), 4):
            found[index] = train.raw(index)

    threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[index] for index in range(len(train))] == expected


@pytest.mark.parametrize("num_workers", [0, 2])
def test_decoded_inputs_are_what_the_pipeline_decodes(
    train: SplitReader, workspace: Workspace, num_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loopline.snapshots.decoded._CHUNK", 100)
    x_NHWC = decoded_inputs(train, pipeline(), workspace.cache, num_workers=num_workers)
    expected = [pipeline().decode(raw) for raw in train.raw_many(range(len(train)))]
    np.testing.assert_array_equal(x_NHWC, np.stack(expected))
    assert isinstance(x_NHWC, np.memmap)
    assert not x_NHWC.flags.writeable


def test_the_decoded_cache_is_made_once_per_sample_steps(
    train: SplitReader, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded_inputs(train, pipeline(), workspace.cache)
    other_mean = build_pipeline(image_steps(height=16, width=16, mode="L", mean=[0.1], std=[0.9]))
    with monkeypatch.context() as patched:
        patched.setattr("loopline.snapshots.decoded._write", None)
        decoded_inputs(train, pipeline(), workspace.cache)
        decoded_inputs(train, other_mean, workspace.cache)
    assert decoded_inputs(train, pipeline(8), workspace.cache).shape == (len(train), 8, 8, 1)
    assert len(list((workspace.cache / "decoded").glob("*.npy"))) == 2


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_example_that_the_pipeline_refuses_is_named_and_nothing_is_left(
    train: SplitReader, workspace: Workspace, num_workers: int
) -> None:
    steps = list(pipeline().steps)
    steps[1] = TransformStep(name="center_crop", params={"height": 99, "width": 99})
    with pytest.raises(InputError, match=r"example '\w+/\d+\.png' of split 'train': the picture is 16×16 pixels"):
        decoded_inputs(train, build_pipeline(steps), workspace.cache, num_workers=num_workers)
    assert not list((workspace.cache / "decoded").glob("*np*"))


def double(chunk: int) -> tuple[int, int]:
    """What the workers of these tests do; -1 dies, -2 fails."""
    if chunk == -1:
        os.kill(os.getpid(), signal.SIGKILL)
    if chunk == -2:
        raise ZeroDivisionError
    print("this must not end up between the answers")
    return 2 * chunk, os.getpid()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> str:
    """`double`, importable from here and from another process."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return f"{Path(__file__).stem}:double"


def test_chunks_are_worked_on_in_other_processes_and_answered_in_order(worker: str) -> None:
    answers = list(map_chunks(worker, range(50), num_workers=2))
    assert [answer for answer, _ in answers] == [2 * chunk for chunk in range(50)]
    assert os.getpid() not in {process for _, process in answers}


def test_no_workers_means_this_process(worker: str) -> None:
    assert {process for _, process in map_chunks(worker, range(3), num_workers=0)} == {os.getpid()}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_worker_that_dies_or_fails_is_an_error_and_not_a_wait(worker: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StateError, match=r"ended by signal 9 \(out of memory\?\)"):
        list(map_chunks(worker, [1, -1, 2, 3], num_workers=2))
    with pytest.raises(StateError, match="ended with exit code 1"):
        list(map_chunks(worker, [-2], num_workers=1))
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_workers_end_when_their_caller_stops_asking(worker: str) -> None:
    answers = map_chunks(worker, range(1000), num_workers=2)
    _, process = next(answers)
    answers.close()  # type: ignore[attr-defined]  # it is a generator
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
