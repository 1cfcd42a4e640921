from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loopline.core.errors import InputError, UnknownName
from loopline.core.records import Task
from loopline.core.workspace import Workspace
from loopline.data import Columns, Options, snapshot
from loopline.data.listing import Listing
from loopline.data.sources import list_source
from loopline.snapshots import open_snapshot

MakePicture = Callable[..., Path]


def listed(path: Path, task: Task = "classification", **columns: str) -> Listing:
    return list_source(path, task=task, columns=Columns(**columns))


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def table(tmp_path: Path, make_picture: MakePicture) -> Path:
    """A CSV of 30 pictures with label, weight, split and number."""
    lines = ["file,kind,weight,part,number"]
    for index in range(30):
        make_picture(tmp_path / "pictures" / f"{index}.png", seed=index)
        part = "test" if index >= 24 else "train"
        lines.append(f"pictures/{index}.png,{'ab'[index % 2]},{index / 4},{part},n{index}")
    return write(tmp_path / "table.csv", "\n".join(lines) + "\n")


def test_the_named_columns_are_used(table: Path) -> None:
    listing = listed(table, input="file", target="kind", split="part", id="number")
    assert listing.ids[:2] == ["n0", "n1"]
    assert listing.targets[:2] == ["a", "b"]
    assert listing.splits[0] == "train"
    assert listing.splits[-1] == "test"
    assert listing.inputs.read([3]) == [(table.parent / "pictures/3.png").read_bytes()]


def test_a_csv_and_a_parquet_of_the_same_rows_are_the_same_snapshot(table: Path, workspace: Workspace) -> None:
    lines = [line.split(",") for line in table.read_text().splitlines()]
    columns = {name: [line[place] for line in lines[1:]] for place, name in enumerate(lines[0])}
    pq.write_table(pa.table(columns), table.with_suffix(".parquet"))
    options = Options(validation_share=0.2, columns=Columns(input="file", target="kind", split="part"))
    versions = {
        snapshot(table.with_suffix(suffix), name="t", options=options, workspace=workspace).version
        for suffix in (".csv", ".parquet")
    }
    assert len(versions) == 1


def test_regression_targets_are_numbers(table: Path, workspace: Workspace) -> None:
    options = Options(validation_share=0.2, test_share=0.2, columns=Columns(input="file", target="weight"))
    manifest = snapshot(table, name="t", task="regression", options=options, workspace=workspace)
    assert manifest.label_names == ()
    split = open_snapshot("t", workspace).split("train")
    assert split.targets.dtype == "float32"
    assert [f"pictures/{int(target * 4)}.png" for target in split.targets] == split.ids


def test_targets_that_are_no_finite_number_are_refused(table: Path, workspace: Workspace) -> None:
    text = table.read_text().replace(",0.25,", ",nan,").replace(",0.5,", ",heavy,").replace(",0.75,", ",1e99,")
    write(table, text.replace(",1.0,", ",,"))
    options = Options(columns=Columns(input="file", target="weight"))
    with pytest.raises(InputError) as refusal:
        snapshot(table, name="t", task="regression", options=options, workspace=workspace)
    for sentence in (
        "4 of 30 files",
        "pictures/1.png: the target 'nan' is no finite number.",
        "pictures/2.png: the target 'heavy' is no finite number.",
        "pictures/3.png: the target '1e99' is no finite number.",
        "pictures/4.png: the target is empty.",
    ):
        assert sentence in refusal.value.message


def test_texts_make_a_translation_snapshot(tmp_path: Path, workspace: Workspace) -> None:
    rows = "".join(f"a dog {n},ein Hund {n}\n" for n in range(60))
    table = write(tmp_path / "pairs.csv", "en,de\n" + rows)
    options = Options(columns=Columns(input="en", target="de"))
    manifest = snapshot(table, name="pairs", task="translation", options=options, workspace=workspace)
    assert manifest.input_kind == "text"
    assert manifest.input_shape is None
    assert manifest.statistics is None
    split = open_snapshot("pairs", workspace).split("train")
    assert [raw.decode().replace("a dog", "ein Hund") for raw in split.raw_many(range(len(split)))] == list(
        split.targets
    )


def test_empty_texts_are_refused(tmp_path: Path, workspace: Workspace) -> None:
    table = write(tmp_path / "pairs.csv", "en,de\na,b\n ,c\nd,e\n")
    options = Options(columns=Columns(input="en", target="de"))
    with pytest.raises(InputError, match=r"1: the text is empty\."):
        snapshot(table, name="pairs", task="translation", options=options, workspace=workspace)


def test_translation_needs_both_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without its columns; it has: en, de"):
        listed(write(tmp_path / "pairs.csv", "en,de\na,b\n"), task="translation")


@pytest.mark.parametrize("role", ["input", "target", "split", "id"])
def test_a_missing_column_is_named_with_those_there_are(table: Path, role: str) -> None:
    columns = {"input": "file", "target": "kind", role: "knid"}
    with pytest.raises(UnknownName, match=r"column of table 'table\.csv' 'knid' does not exist; known: file, kind"):
        list_source(table, task="classification", columns=Columns(**columns))


@pytest.mark.parametrize("path", ["../outside.png", "/etc/hostname", "pictures/../../outside.png", ""])
def test_paths_that_leave_the_folder_are_listed(tmp_path: Path, path: str, make_picture: MakePicture) -> None:
    make_picture(tmp_path / "outside.png")
    (tmp_path / "in" / "pictures").mkdir(parents=True)
    listing = listed(write(tmp_path / "in" / "table.csv", f"path,label\n{path},a\n"))
    assert len(listing) == 0
    assert "leads out of the table's folder" in listing.problems[0].reason or path == ""


def test_missing_files_and_folders_are_listed(tmp_path: Path) -> None:
    listing = listed(write(tmp_path / "table.csv", "path,label\ngone.png,a\n.,b\n"))
    assert {problem.path: problem.reason for problem in listing.problems} == {
        "gone.png": "the file cannot be read: No such file or directory.",
        ".": "neither a file nor a link to one.",
    }


def test_duplicate_ids_are_refused(table: Path, workspace: Workspace) -> None:
    write(table, table.read_text() + "pictures/0.png,a,1,train,n30\n")
    options = Options(columns=Columns(input="file", target="kind"))
    with pytest.raises(InputError, match=r"id 'pictures/0\.png' stands more than once"):
        snapshot(table, name="t", options=options, workspace=workspace)


def test_files_that_are_no_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2 of 'ragged.csv' has 3 columns; expected 2"):
        listed(write(tmp_path / "ragged.csv", "path,label\na,b,c\n"))
    (tmp_path / "latin.csv").write_bytes(b"path,label\n\xff\xfe,b\n")
    with pytest.raises(InputError, match="is no CSV file in UTF-8"):
        listed(tmp_path / "latin.csv")
    with pytest.raises(InputError, match="is no Parquet file"):
        listed(write(tmp_path / "no.parquet", "path,label\n"))


def test_an_empty_table_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(InputError, match="holds no usable example"):
        snapshot(write(tmp_path / "empty.csv", "path,label\n"), name="t", workspace=workspace)
    with pytest.raises(UnknownName, match="'path' does not exist; there is none yet"):
        snapshot(write(tmp_path / "nothing.csv", ""), name="t", workspace=workspace)


def test_several_columns_are_rows_of_numbers(workspace: Workspace, tmp_path: Path) -> None:
    """Each row becomes a JSON array; shape and statistics of the train split stand in the manifest."""
    rows = [(index, 2.5 * index, "odd" if index % 2 else "even") for index in range(60)]
    path = tmp_path / "numbers.csv"
    path.write_text("a,b,label\n" + "".join(f"{a},{b},{label}\n" for a, b, label in rows))
    columns = Columns(input="a,b", target="label")
    manifest = snapshot(path, name="numbers", options=Options(columns=columns), workspace=workspace)
    assert (manifest.input_kind, manifest.input_shape, manifest.label_names) == ("values", (2,), ("even", "odd"))
    train = open_snapshot("numbers", workspace).split("train")
    values_NF = np.array([json.loads(raw) for raw in train.raw_many(range(len(train)))])
    assert manifest.statistics is not None
    np.testing.assert_allclose(manifest.statistics.mean, values_NF.mean(axis=0))
    np.testing.assert_allclose(manifest.statistics.std, values_NF.std(axis=0))


@pytest.mark.parametrize("value", ["", "much", "nan", "1e300", "1, 2"])
def test_what_is_no_number_is_named(workspace: Workspace, tmp_path: Path, value: str) -> None:
    """A row with something else than finite numbers is refused with its place."""
    path = tmp_path / "numbers.csv"
    path.write_text(f'a,b,label\n1,2,x\n3,4,y\n5,"{value}",x\n')
    with pytest.raises(InputError, match="1 of 3 files"):
        snapshot(path, name="numbers", options=Options(columns=Columns(input="a,b")), workspace=workspace)
