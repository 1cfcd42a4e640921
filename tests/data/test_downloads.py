"""Datasets that others keep: Food-101 as its archive is unpacked, Kaggle's folders; nothing is downloaded here."""

from __future__ import annotations

import json
from pathlib import Path

import kagglehub
import pytest
from PIL import Image

from loopline.core.errors import InputError, IntegrityError
from loopline.core.workspace import Workspace
from loopline.data import get, snapshot
from loopline.data.sources.food101 import list_food101

PICTURES = {"train": ["pho/1", "pho/2", "ramen/3"], "test": ["ramen/4"]}


@pytest.fixture
def food(tmp_path: Path) -> Path:
    """The archive as it unpacks, with four pictures; what holds it."""
    folder = tmp_path / "food-101"
    for split, names in PICTURES.items():
        by_class: dict[str, list[str]] = {}
        for name in names:
            by_class.setdefault(name.partition("/")[0], []).append(name)
            path = folder / "images" / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 12), (60 * int(name[-1]), 0, 0)).save(path)
        (folder / "meta").mkdir(exist_ok=True)
        (folder / "meta" / f"{split}.json").write_text(json.dumps(by_class))
    return tmp_path


def test_food101_has_the_published_split(food: Path) -> None:
    """Ids, labels and splits as the archive's lists say."""
    listing = list_food101(root=food)
    assert dict(zip(listing.ids, listing.splits, strict=True)) == {
        f"{name}.jpg": split for split, names in PICTURES.items() for name in names
    }
    assert sorted(set(listing.targets)) == ["pho", "ramen"]
    assert listing.source.startswith("Food-101 (https://")


def test_an_archive_that_is_not_whole_is_refused(food: Path) -> None:
    """A photograph that the lists do not name, as after a broken download."""
    (food / "food-101" / "images" / "pho" / "2.jpg").unlink()
    with pytest.raises(IntegrityError, match=r"holds 3 photographs, its lists name 4"):
        list_food101(root=food)


def test_food101_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, and the other route."""
    from torchvision.datasets import Food101

    monkeypatch.setattr(Food101, "_URL", (tmp_path / "nowhere.tar.gz").as_uri())
    with pytest.raises(InputError, match="Food-101 cannot be had") as caught:
        list_food101(root=tmp_path / "root")
    assert "hub:ethz/food101" in (caught.value.next_command or "")


@pytest.fixture
def animals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A downloader that knows one dataset, in a folder of a folder; returns what it was asked for."""
    inner = tmp_path / "cache" / "animals" / "animals"
    for index, label in enumerate(("cat", "dog", "lion") * 10):
        path = inner / label / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (8 * index, 0, 0)).save(path)
    asked = []

    def download(handle: str) -> str:
        asked.append(handle)
        if "animals" not in handle:
            raise ValueError(f"Invalid dataset handle: {handle}\nmore")
        return str(tmp_path / "cache")

    monkeypatch.setattr(kagglehub, "dataset_download", download)
    return asked


def test_a_dataset_of_kaggles(animals: list[str], workspace: Workspace) -> None:
    """From the catalogue or by its handle, through folders that hold nothing but a folder."""
    manifest = get("animals", workspace=workspace)
    assert manifest.label_names == ("cat", "dog", "lion")
    assert (
        manifest.source
        == "Kaggle dataset 'antobenedetti/animals' (https://www.kaggle.com/datasets/antobenedetti/animals)"
    )
    other = snapshot("kaggle:someone/animals#animals", name="other", workspace=workspace)
    assert {name: split.digest for name, split in other.splits.items()} == {
        name: split.digest for name, split in manifest.splits.items()
    }
    assert animals == ["antobenedetti/animals", "someone/animals"]


def test_kaggle_mistakes_are_sentences(animals: list[str], workspace: Workspace) -> None:
    """A handle that is not one, a folder that is not there."""
    with pytest.raises(InputError, match=r"Kaggle dataset 'pets' cannot be had: Invalid dataset handle: pets Next"):
        snapshot("kaggle:pets", name="pets", workspace=workspace)
    with pytest.raises(InputError, match="Kaggle dataset 'a/animals' has no folder 'cats'"):
        snapshot("kaggle:a/animals#cats", name="pets", workspace=workspace)
    assert len(animals) == 2
