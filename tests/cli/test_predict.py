"""`loopline predict`: the predictor's answers, one line a file, whatever the other files are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loopline.bundle import read_bundle
from loopline.core.workspace import Workspace
from loopline.predictor import open_predictor
from loopline.testing import make_bundle, make_png

Loopline = Callable[..., Any]


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    """A bundle in the workspace."""
    return make_bundle(workspace.bundles)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures, one of them in colour and of another size."""
    place = tmp_path / "pictures"
    place.mkdir()
    for index in range(2):
        (place / f"{index}.png").write_bytes(make_png(seed=index))
    (place / "colour.png").write_bytes(make_png(height=50, width=80, mode="RGB"))
    return place


def test_each_file_gets_a_line(loopline: Loopline, folder: Path, pictures: Path) -> None:
    """The labels with their probabilities, likeliest first, for as many as were asked for."""
    ended = loopline("predict", folder, *sorted(pictures.iterdir()), "--top", "2")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    predictor = open_predictor(folder)
    for line, file in zip(lines, sorted(pictures.iterdir()), strict=True):
        (answer,) = predictor.predict_raw([file.read_bytes()])
        (first, most), (second, less) = answer.top(2, predictor.bundle.label_names)
        assert line == f"{file}: {first} {most:.1%}, {second} {less:.1%}"


def test_json_is_a_line_a_file(loopline: Loopline, folder: Path, pictures: Path) -> None:
    """Programs read one object a line, errors included, on standard output."""
    (pictures / "note.txt").write_text("no picture")
    digest = read_bundle(folder).digest
    ended = loopline("predict", digest[:8], pictures, "--json")
    assert ended.code == 1
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [Path(row["file"]).name for row in rows] == ["0.png", "1.png", "colour.png", "note.txt"]
    assert all(row["label"] == max(row["probabilities"], key=row["probabilities"].get) for row in rows[:3])
    assert rows[3]["error"].startswith("a file of 10 bytes that is no picture given")


def test_bad_files_do_not_stop_the_good_ones(loopline: Loopline, folder: Path, pictures: Path) -> None:
    """Text, nothing and a missing file are reported on standard error; the rest is predicted; the exit code says so."""
    (pictures / "empty.png").write_bytes(b"")
    (pictures / "text.png").write_text("hello")
    ended = loopline("predict", folder, pictures, pictures / "missing.png")
    assert ended.code == 1
    assert len(ended.out.splitlines()) == 3
    assert f"{pictures / 'empty.png'}: an empty file given" in ended.err
    assert f"{pictures / 'text.png'}: a file of 5 bytes that is no picture given" in ended.err
    assert f"{pictures / 'missing.png'}: No such file or directory" in ended.err
    assert "Traceback" not in ended.err


def test_folders_and_patterns_stand_for_files(loopline: Loopline, folder: Path, pictures: Path) -> None:
    """A folder without its hidden files, and a pattern that no shell expanded."""
    (pictures / ".hidden").write_bytes(b"no picture")
    assert len(loopline("predict", folder, pictures).out.splitlines()) == 3
    assert len(loopline("predict", folder, pictures / "?.png*").out.splitlines()) == 2


def test_an_empty_folder_is_an_error(loopline: Loopline, folder: Path, tmp_path: Path) -> None:
    """Where there is nothing to predict, success would be a lie."""
    (tmp_path / "empty").mkdir()
    ended = loopline("predict", folder, tmp_path / "empty")
    assert ended.code == 1
    assert "no file in" in ended.err


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("abcdef123", "error: bundle 'abcdef123' does not exist; known: tiny-"),
        ("fashion@champoin", "error: model 'fashion' does not exist"),
    ],
)
def test_an_unknown_model_is_one_sentence(
    loopline: Loopline, folder: Path, pictures: Path, reference: str, sentence: str
) -> None:
    """An unknown bundle or model lists what exists and the next command."""
    ended = loopline("predict", reference, pictures)
    assert ended.code == 1
    assert ended.err.startswith(sentence)
    assert "next: loopline " in ended.err


def test_a_changed_bundle_predicts_nothing(loopline: Loopline, folder: Path, pictures: Path) -> None:
    """The command line opens bundles as the server does."""
    graph = bytearray((folder / "graph.onnx").read_bytes())
    graph[100] ^= 1
    (folder / "graph.onnx").write_bytes(graph)
    ended = loopline("predict", folder, pictures)
    assert (ended.code, ended.out) == (1, "")
    assert "graph.onnx' was changed" in ended.err
