"""`loopline data` as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from loopline.cli.entry import main
from loopline.core.workspace import Workspace

MakePicture = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `loopline data …` in this process; returns exit code, output, errors."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["--home", str(workspace.root), "data", *map(str, arguments)])
        output = capsys.readouterr()
        return int(end.value.code or 0), output.out, output.err

    return call


def test_snapshot_prints_splits_labels_and_what_was_skipped(run: Run, pictures: Path) -> None:
    (pictures / "cat" / "broken.png").write_bytes(b"x")
    code, _, error = run("snapshot", pictures, "--name", "pets")
    assert code == 1
    assert error.startswith("error: 1 of 41 files")
    assert "next: mend or remove them, or leave them out by --skip-broken" in error
    code, output, _ = run("snapshot", pictures, "--name", "pets", "--skip-broken", "--licence", "CC0", "--confidential")
    assert code == 0
    for part in ("classification, image, 6×8×3", "CC0  CONFIDENTIAL", "train", "validation", "cat/broken.png", "dog"):
        assert part in output


def test_shares_and_columns_reach_the_snapshot(run: Run, tmp_path: Path, make_picture: MakePicture) -> None:
    rows = ["file,kind"]
    for index in range(40):
        make_picture(tmp_path / f"{index}.png", seed=index)
        rows.append(f"{index}.png,{'ab'[index % 2]}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    arguments = ("snapshot", tmp_path / "table.csv", "--name", "t", "--column", "input=file", "--column", "target=kind")
    code, output, _ = run(*arguments, "--validation-share", "0.4", "--test-share", "0", "--json")
    manifest = json.loads(output)
    assert code == 0
    assert set(manifest["splits"]) == {"train", "validation"}
    assert manifest["splits"]["validation"]["num_examples"] > 8
    assert manifest["label_names"] == ["a", "b"]


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ("input", "--column input given; expected ROLE=COLUMN"),
        ("inptu=x", "column role 'inptu' does not exist; known: group, id, input, split, target. Did you mean 'input'"),
    ],
)
def test_a_wrong_column_role_is_refused(run: Run, pictures: Path, column: str, sentence: str) -> None:
    code, _, error = run("snapshot", pictures, "--name", "pets", "--column", column)
    assert code == 1
    assert sentence in error


def test_show_lists_all_or_shows_one(run: Run, pictures: Path) -> None:
    run("snapshot", pictures, "--name", "pets")
    (pictures / "cat" / "00.png").unlink()
    run("snapshot", pictures, "--name", "pets")
    code, output, _ = run("show")
    assert code == 0
    assert "pets" in output
    assert json.loads(run("show", "--json")[1])[0]["name"] == "pets"
    code, output, _ = run("show", "pets")
    assert "parent" in output
    assert json.loads(run("show", "pets", "--json")[1])["name"] == "pets"


def test_duplicates_across_splits_are_shown(run: Run, tmp_path: Path, make_picture: MakePicture) -> None:
    for index in range(30):
        make_picture(tmp_path / "set" / "train" / "ab"[index % 2] / f"{index}.png", seed=index)
    make_picture(tmp_path / "set" / "test" / "a" / "copy.png", seed=4)
    _, output, _ = run("snapshot", tmp_path / "set", "--name", "set", "--validation-share", "0")
    assert "1 inputs stand in more than one split" in output
    assert "train/a/4.png, test/a/copy.png" in output


def test_verify_and_diff_print_a_sentence_or_a_table(run: Run, pictures: Path, make_picture: MakePicture) -> None:
    run("snapshot", pictures, "--name", "pets")
    assert "is what was written: 40 examples" in run("verify", "pets")[1]
    assert json.loads(run("verify", "pets", "--json")[1])["num_examples"] == 40
    assert run("diff", "pets", "pets")[1] == "every example is the same.\n"
    for index in range(25):
        make_picture(pictures / "fish" / f"{index}.png", seed=300 + index)
    run("snapshot", pictures, "--name", "more")
    output = run("diff", "pets", "more")[1]
    assert "labels added: fish" in output
    assert "fish/" in output
    assert json.loads(run("diff", "pets", "more", "--json")[1])["labels_added"] == ["fish"]


def test_get_of_an_unknown_dataset_lists_the_known_ones(run: Run) -> None:
    code, _, error = run("get", "fasion")
    assert code == 1
    assert "Did you mean 'fashion'" in error


def test_a_share_out_of_range_is_wrong_usage(run: Run, pictures: Path) -> None:
    code, _, error = run("snapshot", pictures, "--name", "pets", "--test-share", "1.5")
    assert code == 2
    assert "--test-share" in error


def test_a_workspace_that_is_a_file_is_one_sentence(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SystemExit) as end:
        main(["--home", str(tmp_path / "file"), "data", "snapshot", str(pictures), "--name", "pets"])
    assert end.value.code == 1
    assert capsys.readouterr().err.count("\n") <= 2
