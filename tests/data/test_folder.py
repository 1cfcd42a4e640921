from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from loopline.core.errors import InputError
from loopline.data import Columns
from loopline.data.listing import Listing
from loopline.data.sources import list_source

MakePicture = Callable[..., Path]


def listed(folder: Path) -> Listing:
    return list_source(folder, task="classification", columns=Columns())


def problems(folder: Path) -> dict[str, str]:
    return {problem.path: problem.reason for problem in listed(folder).problems}


def test_a_folder_per_class_gives_labels_and_ids(pictures: Path) -> None:
    listing = listed(pictures)
    assert listing.ids[:2] == ["cat/00.png", "cat/01.png"]
    assert sorted(set(listing.targets)) == ["cat", "dog"]
    assert set(listing.splits) == {""}
    assert listing.inputs.read([0]) == [(pictures / "cat/00.png").read_bytes()]


def test_split_folders_are_recognised_and_left_out_of_ids(tmp_path: Path, make_picture: MakePicture) -> None:
    for split in ("Train", "val", "test"):
        make_picture(tmp_path / split / "cat" / "1.png")
    listing = listed(tmp_path)
    assert listing.ids == ["cat/1.png"] * 3
    assert sorted(listing.splits) == ["Train", "test", "val"]


def test_a_class_called_train_beside_others_is_a_class(tmp_path: Path, make_picture: MakePicture) -> None:
    for label in ("bus", "car", "train"):
        make_picture(tmp_path / label / "1.png")
    assert listed(tmp_path).targets == ["bus", "car", "train"]


def test_split_folders_among_class_folders_are_refused(tmp_path: Path, make_picture: MakePicture) -> None:
    for name in ("train", "test", "cat"):
        make_picture(tmp_path / name / "x" / "1.png")
    with pytest.raises(InputError, match="split folders test, train and also cat; expected split folders only"):
        listed(tmp_path)


def test_strange_names_and_deep_folders_are_taken(tmp_path: Path, make_picture: MakePicture) -> None:
    names = ["a b.png", "ünïcode ☃.png", "x/y/z/#1 %20.png", "new\nline.png", "'quote\".png"]
    for name in names:
        make_picture(tmp_path / "cat" / name)
    assert sorted(listed(tmp_path).ids) == sorted(f"cat/{name}" for name in names)


def test_hidden_files_are_passed_over(pictures: Path) -> None:
    for name in (".DS_Store", "cat/.hidden.png", "cat/Thumbs.db", ".dvc/config"):
        (pictures / name).parent.mkdir(exist_ok=True)
        (pictures / name).write_bytes(b"x")
    assert len(listed(pictures)) == 40
    assert problems(pictures) == {}


def test_files_outside_of_class_folders_and_empty_classes_are_listed(pictures: Path) -> None:
    (pictures / "README.txt").write_text("cats and dogs")
    (pictures / "fish").mkdir()
    assert problems(pictures) == {
        "README.txt": "lies in no class folder.",
        "fish": "the class folder holds no file.",
    }


def test_files_beside_split_folders_and_class_folders_are_listed(tmp_path: Path, make_picture: MakePicture) -> None:
    make_picture(tmp_path / "train" / "cat" / "1.png")
    make_picture(tmp_path / "train" / "loose.png")
    make_picture(tmp_path / "loose.png")
    assert problems(tmp_path) == {
        "loose.png": "lies in no class folder.",
        "train/loose.png": "lies in no class folder.",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights on Windows")
def test_links_are_followed_and_loops_are_listed(pictures: Path, tmp_path: Path, make_picture: MakePicture) -> None:
    elsewhere = make_picture(tmp_path / "elsewhere" / "9.png")
    (pictures / "cat" / "linked.png").symlink_to(elsewhere)
    (pictures / "cat" / "linked").symlink_to(elsewhere.parent)
    (pictures / "cat" / "up").symlink_to(pictures)
    (pictures / "cat" / "self").symlink_to("self")
    listing = listed(pictures)
    assert {"cat/linked.png", "cat/linked/9.png"} <= set(listing.ids)
    assert problems(pictures) == {
        "cat/up": "a symbolic link to a folder that holds it.",
        "cat/self": "a broken symbolic link.",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_listed_and_never_opened(pictures: Path) -> None:
    os.mkfifo(pictures / "cat" / "pipe.png")
    assert problems(pictures) == {"cat/pipe.png": "neither a file nor a folder."}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_names_that_are_not_utf8_are_listed(pictures: Path) -> None:
    raw = os.fsencode(pictures)
    (pictures / "cat" / "kittens").mkdir()
    os.close(os.open(raw + b"/cat/kittens/\xff.png", os.O_CREAT | os.O_WRONLY))
    for folder in (b"/cat/\xfe", b"/\xfd"):
        os.mkdir(raw + folder)  # noqa: PTH102 - a name that `Path` takes for text
        os.close(os.open(raw + folder + b"/1.png", os.O_CREAT | os.O_WRONLY))
    assert problems(pictures) == {
        "cat/kittens/\\xff.png": "the name is not UTF-8.",
        "cat/\\xfe": "the name is not UTF-8.",
        "\\xfd": "the name is not UTF-8.",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one folder of the two")
def test_classes_that_differ_in_case_only_are_refused(tmp_path: Path, make_picture: MakePicture) -> None:
    make_picture(tmp_path / "Cat" / "1.png")
    make_picture(tmp_path / "cat" / "2.png")
    with pytest.raises(InputError, match="classes 'Cat' and 'cat' differ in case only"):
        listed(tmp_path)


def test_a_folder_serves_classification_without_columns_only(pictures: Path) -> None:
    with pytest.raises(InputError, match="for task 'regression'"):
        list_source(pictures, task="regression", columns=Columns())
    with pytest.raises(InputError, match="column names given for folder"):
        list_source(pictures, task="classification", columns=Columns(target="x"))


def test_a_source_that_is_nothing_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist; expected a folder, a .csv or .parquet file, or hub:NAME"):
        listed(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"notes\.txt' given; expected a folder"):
        listed(tmp_path / "notes.txt")
