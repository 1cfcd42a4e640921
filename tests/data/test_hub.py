"""Hugging Face datasets, from a folder that `datasets` itself wrote: no network."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from loopline.core.errors import InputError, UnknownName
from loopline.core.records import DatasetManifest
from loopline.core.workspace import Workspace
from loopline.data import Columns, Options, snapshot
from loopline.snapshots import open_snapshot

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    datasets.disable_progress_bars()


def png(index: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (index, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def hub_folder(tmp_path: Path) -> Path:
    """60 train and 10 test pictures with the labels `no` and `yes`, in an order of the dataset's own."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["yes", "no"])})
    folder = tmp_path / "hub"
    folder.mkdir()
    for split, rows in (("train", range(60)), ("test", range(60, 70))):
        columns = {"image": [{"bytes": png(row), "path": None} for row in rows], "label": [row % 2 for row in rows]}
        datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / f"{split}.parquet")
    return folder


def make(source: Path, workspace: Workspace, **columns: str) -> DatasetManifest:
    options = Options(columns=Columns(**columns))
    return snapshot(f"hub:{source}", name="h", options=options, workspace=workspace)


def test_pictures_come_as_they_are_stored_with_the_datasets_own_labels(hub_folder: Path, workspace: Workspace) -> None:
    manifest = make(hub_folder, workspace)
    assert manifest.label_names == ("yes", "no")
    assert manifest.splits["test"].num_examples == 10
    assert manifest.source == f"Hugging Face dataset '{hub_folder}'"
    test = open_snapshot("h", workspace).split("test")
    assert {(raw, target) for raw, target in zip(test.raw_many(range(10)), test.targets, strict=True)} == {
        (png(row), row % 2) for row in range(60, 70)
    }


def test_a_dataset_that_cannot_be_loaded_is_one_sentence(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(InputError, match=r"Hugging Face dataset '.*nowhere' cannot be loaded"):
        make(tmp_path / "nowhere", workspace)


def test_a_missing_column_is_named(hub_folder: Path, workspace: Workspace) -> None:
    with pytest.raises(UnknownName, match=r"'lable' does not exist; known: image, label. Did you mean 'label'"):
        make(hub_folder, workspace, target="lable")


def test_texts_and_ids_come_from_the_columns_named(tmp_path: Path, workspace: Workspace) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    columns = {"en": [f"dog {row}" for row in range(80)], "de": [f"Hund {row}" for row in range(80)]}
    columns["key"] = [f"k{row}" for row in range(80)]
    datasets.Dataset.from_dict(columns).to_parquet(folder / "train.parquet")
    options = Options(columns=Columns(input="en", target="de", id="key"))
    snapshot(f"hub:{folder}", name="t", task="translation", options=options, workspace=workspace)
    train = open_snapshot("t", workspace).split("train")
    number = train.ids[0][1:]
    assert (train.raw(0), train.targets[0]) == (f"dog {number}".encode(), f"Hund {number}")
    with pytest.raises(InputError, match="has 0 picture columns among en, de, key; expected one"):
        make(folder, workspace)


def test_missing_labels_are_refused(tmp_path: Path, workspace: Workspace) -> None:
    folder = tmp_path / "unlabelled"
    folder.mkdir()
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["yes", "no"])})
    columns = {"image": [{"bytes": png(row), "path": None} for row in range(3)], "label": [0, None, -1]}
    datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / "train.parquet")
    with pytest.raises(InputError, match=r"2 of 3 files .*\n  1: the target is empty\.\n  2: the target is empty\."):
        make(folder, workspace)


def test_a_split_that_is_none_of_ours_is_refused(hub_folder: Path, workspace: Workspace) -> None:
    (hub_folder / "test.parquet").rename(hub_folder / "README.md")
    (hub_folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: extra\n    path: train.parquet\n---\n"
    )
    with pytest.raises(InputError, match="has a split 'extra'; expected train, validation and test only"):
        make(hub_folder, workspace)


def test_pairs_in_one_column_and_only_the_first_ones(tmp_path: Path, workspace: Workspace) -> None:
    """As WMT stores them: a column of two languages, of which each has a name with a dot."""
    folder = tmp_path / "wmt"
    folder.mkdir()
    for split, num_pairs in (("train", 40), ("validation", 5)):
        pairs = [{"de": f"Satz {split} {row}.", "en": f"Sentence {split} {row}."} for row in range(num_pairs)]
        features = datasets.Features({"translation": datasets.Translation(languages=["de", "en"])})
        datasets.Dataset.from_dict({"translation": pairs}, features=features).to_parquet(folder / f"{split}.parquet")
    options = Options(columns=Columns(input="translation.en", target="translation.de"), test_share=0)
    manifest = snapshot(f"hub:{folder}?first=20", name="w", task="translation", options=options, workspace=workspace)
    assert {name: split.num_examples for name, split in manifest.splits.items()} == {"train": 20, "validation": 5}
    train = open_snapshot("w", workspace).split("train")
    found = dict(zip(train.raw_many(range(20)), train.targets, strict=True))
    assert found[b"Sentence train 19."] == "Satz train 19."
    for wrong in ("?first=0", "?first=x", "?last=3"):
        with pytest.raises(InputError, match=r"expected \?first=NUMBER"):
            snapshot(f"hub:{folder}{wrong}", name="w", task="translation", options=options, workspace=workspace)
