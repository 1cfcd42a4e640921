"""`loopline predict`: the predictor's answers, one line a file, whatever the other files are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loopline.bundle import read_bundle
from loopline.core.workspace import Workspace
from loopline.predictor import LabelAnswer, open_predictor
from loopline.testing import make_bundle, make_png, make_value_bundle
from loopline.transforms.bands import encode_bands

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
        assert isinstance(answer, LabelAnswer)
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


def test_a_value_is_printed_with_its_interval(loopline: Loopline, workspace: Workspace, tmp_path: Path) -> None:
    """For people with its unit, for programs as fields."""
    folder = make_value_bundle(workspace.bundles)
    row = tmp_path / "row.json"
    row.write_text("[9.5, 11, 10.25]")
    predictor = open_predictor(folder)
    (answer,) = predictor.predict_raw([row.read_bytes()])
    value, low, high = answer.outputs.tolist()
    assert loopline("predict", folder, row).out == f"{row}: {value:.4g} kg ({low:.4g} to {high:.4g})\n"
    fields = json.loads(loopline("predict", folder, row, "--json").out)
    assert fields == {"file": str(row), "value": value, "unit": "kg", "interval": [low, high]}


def test_bands_in_files_of_their_own_go_together(loopline: Loopline, workspace: Workspace, tmp_path: Path) -> None:
    """All files are one example; apart, each lacks the other."""
    folder = make_value_bundle(workspace.bundles, bands=("red", "nir"))
    samples_CHW = np.full((2, 10, 12), 0.25, np.float32)
    for band, samples_HW in zip(("red", "nir"), samples_CHW, strict=True):
        (tmp_path / f"plot_{band}.tif").write_bytes(encode_bands(samples_HW[np.newaxis]))
    files = [tmp_path / "plot_red.tif", tmp_path / "plot_nir.tif"]
    (answer,) = open_predictor(folder).predict_raw([encode_bands(samples_CHW)])
    together = loopline("predict", folder, *files, "--together", "--json")
    assert json.loads(together.out)["value"] == answer.outputs[0]
    apart = loopline("predict", folder, *files)
    assert (apart.code, apart.out) == (1, "")


def test_a_text_is_for_models_of_texts(loopline: Loopline, folder: Path) -> None:
    """Another model refuses it by its name; nothing at all is wrong usage."""
    ended = loopline("predict", folder, "--text", "a dog runs.")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("a dog runs.: ")
    assert loopline("predict", folder).code == 2


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
