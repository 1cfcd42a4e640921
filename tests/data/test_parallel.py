"""Parallel text files: line by line, packed or not, with the splits that their names say."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from loopline.core.errors import InputError, UnknownName
from loopline.core.workspace import Workspace
from loopline.data import Columns, Options, snapshot
from loopline.data.listing import Listing
from loopline.data.sources import list_source
from loopline.snapshots import open_snapshot

EN_DE = Columns(input="en", target="de")


def write(folder: Path, name: str, lines: list[str]) -> None:
    raw = "".join(f"{line}\n" for line in lines).encode()
    (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for split, num_pairs in (("train", 20), ("val", 4), ("test_2016_flickr", 3)):
        write(folder, f"{split}.en.gz", [f"{split} line {row}." for row in range(num_pairs)])
        write(folder, f"{split}.de", [f"{split} Zeile {row}." for row in range(num_pairs)])
    (folder / "README").write_text("what this is", encoding="utf-8")
    return folder


def listed(place: Path, columns: Columns = EN_DE) -> Listing:
    return list_source(f"parallel:{place}", task="translation", columns=columns)


def test_lines_become_pairs_in_their_splits(corpus: Path, workspace: Workspace) -> None:
    options = Options(columns=EN_DE)
    manifest = snapshot(f"parallel:{corpus}", name="c", task="translation", options=options, workspace=workspace)
    counts = {name: split.num_examples for name, split in manifest.splits.items()}
    assert counts == {"train": 20, "validation": 4, "test": 3}
    assert manifest.source == f"parallel texts '{corpus}' (en-de)"
    test = open_snapshot("c", workspace).split("test")
    assert dict(zip(test.ids, zip(test.raw_many(range(3)), test.targets, strict=True), strict=True)) == {
        f"test_2016_flickr:{row + 1}": (f"test_2016_flickr line {row}.".encode(), f"test_2016_flickr Zeile {row}.")
        for row in range(3)
    }


def test_the_other_direction_and_one_pair_of_files(corpus: Path) -> None:
    listing = listed(corpus / "val", Columns(input="de", target="en"))
    assert len(listing) == 4
    assert listing.inputs.read([0]) == [b"val Zeile 0."]
    assert listing.targets[0] == "val line 0."
    assert set(listing.splits) == {"val"}


def test_names_that_say_no_split_leave_the_choice(tmp_path: Path) -> None:
    for language in ("en", "de"):
        write(tmp_path, f"news-commentary.{language}", ["a", "b\x85c\u2028d"])
    listing = listed(tmp_path)
    # Only a line feed ends a line.
    assert listing.targets == ["a", "b\x85c\u2028d"]
    assert listing.splits == ["", ""]


def test_what_does_not_fit_together_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without its two languages; it has: de, en"):
        listed(corpus, Columns())
    with pytest.raises(UnknownName, match=r"language 'fr' of .* does not exist; it has: de, en"):
        listed(corpus, Columns(input="en", target="fr"))
    with pytest.raises(InputError, match="expected the task translation"):
        list_source(f"parallel:{corpus}", task="classification", columns=EN_DE)
    with pytest.raises(InputError, match="holds no parallel texts"):
        listed(tmp_path / "nowhere")
    write(corpus, "val.de", ["only one"])
    with pytest.raises(InputError, match=r"'val\.en' has 4 lines and 'val\.de' 1; expected as many"):
        listed(corpus)
    (corpus / "val.de").unlink()
    with pytest.raises(InputError, match=r"'val\.en' has no counterpart 'val\.de'"):
        listed(corpus)


@pytest.mark.parametrize(
    # Named, for their bytes hold the time, and two processes that share the tests would collect different ones.
    "raw",
    [b"no gzip", gzip.compress(b"a\nb\n")[:-9], gzip.compress(b"\xff\xfe")],
    ids=["no gzip", "cut off", "no text"],
)
def test_a_broken_file_is_one_sentence(corpus: Path, raw: bytes) -> None:
    (corpus / "val.en.gz").write_bytes(raw)
    with pytest.raises(InputError, match=r"'.*val\.en\.gz' is no text in UTF-8 and gzip: "):
        listed(corpus)
