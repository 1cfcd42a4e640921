"""Bundles on disk: equal content is one folder, and no byte of it can differ unnoticed."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loopline.bundle import (
    BUNDLE_FILE,
    bundle_digest,
    find_bundle,
    folder_name,
    list_bundles,
    list_files,
    pack_arrays,
    pack_reference,
    read_bundle,
    read_drift_reference,
    read_file,
    read_record_only,
    read_reference,
    unpack_arrays,
    write_bundle,
)
from loopline.core.errors import InputError, IntegrityError, UnknownName
from loopline.core.workspace import Workspace
from loopline.testing import make_bundle

FILES = ["bundle.json", "card.md", "drift.npz", "graph.onnx", "reference.npz"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that no test may change."""
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it for one test to break."""
    return Path(shutil.copytree(made, tmp_path / made.name))


def rewrite(folder: Path, change: dict[str, Any]) -> None:
    """Changes keys of bundle.json and seals it again, as somebody who knows the format would."""
    value = {**json.loads((folder / BUNDLE_FILE).read_text()), **change}
    value["digest"] = bundle_digest(value)
    (folder / BUNDLE_FILE).write_text(json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n")


def test_a_bundle_is_these_files(made: Path) -> None:
    """A bundle holds JSON, ONNX, arrays and text, in a folder named for its content."""
    bundle = read_bundle(made)
    assert sorted(path.name for path in made.iterdir()) == FILES
    assert made.name == f"tiny-{bundle.digest[:12]}"
    assert bundle.digest == bundle_digest(json.loads((made / BUNDLE_FILE).read_text()))
    assert [output.name for output in bundle.outputs] == ["logits", "embedding"]
    assert bundle.inputs[0].axes == ("batch", "channel", "height", "width")


def test_the_same_content_is_the_same_folder(made: Path, tmp_path: Path) -> None:
    """Made twice, a bundle has the same bytes; written where it is already, it is verified and found."""
    again = make_bundle(tmp_path)
    assert again.name == made.name
    for name in FILES:
        assert (again / name).read_bytes() == (made / name).read_bytes()
    assert make_bundle(tmp_path) == again
    (again / "card.md").write_text("another card")
    with pytest.raises(IntegrityError, match=r"card\.md"):
        make_bundle(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_no_byte_can_differ(folder: Path, name: str) -> None:
    """One byte changed anywhere in any file, and the bundle is refused with the file's name."""
    path = folder / name
    intact = path.read_bytes()
    for place in np.linspace(0, len(intact) - 1, 40, dtype=int):
        broken = bytearray(intact)
        broken[place] ^= 1
        path.write_bytes(broken)
        with pytest.raises(IntegrityError, match=name):
            read_bundle(folder)
    for other in (intact + b"\n", intact[:-1], b""):
        path.write_bytes(other)
        with pytest.raises(IntegrityError, match=name):
            read_bundle(folder)
    path.write_bytes(intact)
    read_bundle(folder)


def test_every_byte_of_the_record_counts(folder: Path) -> None:
    """White space and the order of keys too: every fourth byte of bundle.json is changed in turn."""
    path = folder / BUNDLE_FILE
    intact = path.read_bytes()
    for place in range(0, len(intact), 4):
        broken = bytearray(intact)
        broken[place] = ord("\t") if intact[place] == ord(" ") else intact[place] ^ 2
        path.write_bytes(broken)
        with pytest.raises(IntegrityError):
            read_record_only(folder)


def test_files_cannot_be_added_removed_or_linked(folder: Path, tmp_path: Path) -> None:
    """A file too many, a file too few and a link to an equal file elsewhere are all refused."""
    (folder / "more.txt").write_text("hello")
    with pytest.raises(IntegrityError, match=r"holds the file 'more\.txt', which it does not list"):
        read_bundle(folder)
    (folder / "more.txt").unlink()
    (folder / "sub").mkdir()
    (folder / "sub" / "graph.onnx").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"sub/graph\.onnx"):
        read_bundle(folder)
    shutil.rmtree(folder / "sub")
    elsewhere = tmp_path / "card.md"
    (folder / "card.md").rename(elsewhere)
    with pytest.raises(IntegrityError, match=r"lacks its file 'card\.md'"):
        read_bundle(folder)
    (folder / "card.md").symlink_to(elsewhere)
    with pytest.raises(IntegrityError, match="is a symbolic link"):
        read_bundle(folder)


def test_a_linked_record_is_refused(folder: Path, tmp_path: Path) -> None:
    """bundle.json itself must be a file of the folder."""
    (folder / BUNDLE_FILE).rename(tmp_path / "elsewhere.json")
    (folder / BUNDLE_FILE).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(IntegrityError, match="is a symbolic link"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"schema_version": 2}, "has schema version 2; this Loopline reads up to 1. Next: pip install --upgrade"),
        ({"graphs": {"float32": "other.onnx"}}, "named but not listed in files: other.onnx"),
        ({"files": {"../graph.onnx": {"digest": "0" * 64, "num_bytes": 1}}}, "named but not listed"),
    ],
)
def test_a_record_that_is_sealed_but_wrong_is_refused(folder: Path, change: dict[str, Any], sentence: str) -> None:
    """Unknown keys, newer schemas and files that are not listed do not pass with a right digest either."""
    rewrite(folder, change)
    with pytest.raises(IntegrityError) as caught:
        read_bundle(folder)
    assert sentence in str(caught.value)


def test_a_path_cannot_leave_the_folder(folder: Path) -> None:
    """A sealed record that lists a file outside is refused before that file is touched."""
    files = json.loads((folder / BUNDLE_FILE).read_text())["files"]
    for path in ("../outside", "/etc/hostname", "a/../../outside", "a\\b"):
        rewrite(folder, {"files": {**files, path: {"digest": "0" * 64, "num_bytes": 1}}})
        with pytest.raises(IntegrityError, match="leaves the bundle's folder"):
            read_bundle(folder)


@pytest.mark.parametrize("text", ["", "[1]", "no JSON", "\udcff"])
def test_a_record_that_is_no_object_is_refused(folder: Path, text: str) -> None:
    """A file of another kind under the record's name ends with a sentence."""
    (folder / BUNDLE_FILE).write_text(text, errors="surrogateescape")
    with pytest.raises(IntegrityError, match=r"bundle\.json' was changed"):
        read_bundle(folder)


def test_a_folder_without_a_record_is_no_bundle(tmp_path: Path) -> None:
    """An empty folder is an unknown bundle, with the command that makes one."""
    with pytest.raises(UnknownName) as caught:
        read_bundle(tmp_path)
    assert caught.value.next_command == "loopline export latest"


def test_reference_and_drift_arrays_come_back(made: Path) -> None:
    """Raw inputs of any length, their outputs, and the drift reference are read as they were packed."""
    bundle = read_bundle(made)
    raws, expected = read_reference(made, bundle)
    assert len(raws) == 16
    assert all(raw.startswith(b"\x89PNG") for raw in raws)
    assert expected["logits"].shape == (16, 3)
    drift = read_drift_reference(made, bundle)
    assert drift["embedding"].shape == (200, 8)
    np.testing.assert_allclose(drift["outputs"].sum(axis=1), 1, atol=1e-5)


def reseal(folder: Path, path: str, data: bytes) -> None:
    """Replaces a file of the bundle and corrects its entry and the record's digest."""
    (folder / path).write_bytes(data)
    value = json.loads((folder / BUNDLE_FILE).read_text())
    entry = list_files({path: data})[path].model_dump(mode="json")
    rewrite(folder, {"files": {**value["files"], path: entry}})


@pytest.mark.parametrize(
    ("raws", "outputs"),
    [
        ([b"a"] * 15, {"logits": np.zeros((15, 3), np.float32), "embedding": np.zeros((15, 8), np.float32)}),
        ([b"a"] * 16, {"logits": np.zeros((15, 3), np.float32), "embedding": np.zeros((16, 8), np.float32)}),
        ([b"a"] * 16, {"logits": np.zeros((16, 3), np.float32)}),
        ([b"a"] * 16, {"logits": np.full((16, 3), np.nan, np.float32), "embedding": np.zeros((16, 8), np.float32)}),
        ([b"a"] * 16, {"logits": np.full((16, 3), "text"), "embedding": np.zeros((16, 8), np.float32)}),
        ([b"a"] * 16, {"logits": np.zeros((16, 3), np.float32), "embedding": np.zeros(16, np.float32)}),
        ([b"a"] * 16, {"logits": np.zeros((16, 3), np.float32), "embedding": np.zeros((16, 8), np.float64)}),
    ],
)
def test_a_reference_of_another_size_is_refused(folder: Path, raws: list[bytes], outputs: dict[str, Any]) -> None:
    """Sealed arrays that do not hold what the record promises are refused."""
    reseal(folder, "reference.npz", pack_reference(raws, outputs))
    with pytest.raises(IntegrityError, match=r"reference\.npz"):
        read_reference(folder, read_bundle(folder))


def test_a_drift_reference_with_nan_is_refused(folder: Path) -> None:
    """Drift is never compared with NaN."""
    arrays = {"embedding": np.full((200, 8), np.nan, np.float32), "outputs": np.zeros((200, 3), np.float32)}
    reseal(folder, "drift.npz", pack_arrays(arrays))
    with pytest.raises(IntegrityError, match="200 finite rows"):
        read_drift_reference(folder, read_bundle(folder))


def test_no_array_is_unpickled(tmp_path: Path) -> None:
    """An array of Python objects, which would execute on loading, is refused; so is what is no archive."""
    np.savez(tmp_path / "bad.npz", data=np.array([object()], dtype=object))
    for data in ((tmp_path / "bad.npz").read_bytes(), b"", b"no archive", b"PK\x03\x04 broken"):
        with pytest.raises(IntegrityError, match=r"'bad\.npz' is no file of plain arrays"):
            unpack_arrays(data, names=["data"], origin="bad.npz")


def test_write_refuses_a_list_of_other_files(made: Path, tmp_path: Path) -> None:
    """What is listed is what is written."""
    with pytest.raises(InputError, match=r"expected list_files\(files\)"):
        write_bundle(tmp_path, read_bundle(made), {"graph.onnx": b""})


def test_a_file_changed_after_reading_is_noticed(folder: Path) -> None:
    """Each use of a file checks the bytes that it uses, not those that were there before."""
    bundle = read_bundle(folder)
    assert read_file(folder, bundle, "card.md").startswith(b"# tiny")
    (folder / "card.md").write_bytes(b"x" * bundle.files["card.md"].num_bytes)
    with pytest.raises(IntegrityError, match=r"card\.md"):
        read_file(folder, bundle, "card.md")


def test_find_bundle_takes_paths_names_digests_and_latest(workspace: Workspace) -> None:
    """Every way to name a bundle leads to its folder."""
    first = make_bundle(workspace.bundles, seed=1)
    second = make_bundle(workspace.bundles, seed=2)
    digest = read_bundle(first).digest
    for reference in (str(first), first.name, digest, digest[:6], digest[:20]):
        assert find_bundle(reference, workspace) == first
    assert find_bundle("latest", workspace) == second
    assert list_bundles(workspace) == sorted([first, second])


def test_find_bundle_lists_what_exists(workspace: Workspace) -> None:
    """An unknown reference names the bundles that are there; a prefix is taken only where it says enough."""
    with pytest.raises(UnknownName, match="there is none yet"):
        find_bundle("latest", workspace)
    folder = make_bundle(workspace.bundles)
    for reference in ("tniy", "tiny", read_bundle(folder).digest[:5], "000000"):
        with pytest.raises(UnknownName, match=f"known: {folder.name}"):
            find_bundle(reference, workspace)


def test_find_bundle_refuses_an_ambiguous_prefix(workspace: Workspace) -> None:
    """Two folders with one digest are not chosen between silently."""
    folder = make_bundle(workspace.bundles)
    shutil.copytree(folder, workspace.bundles / "copy")
    with pytest.raises(InputError, match=f"is ambiguous: copy, {folder.name}"):
        find_bundle(read_bundle(folder).digest[:8], workspace)


def test_the_records_time_is_the_models(made: Path) -> None:
    """`created_at` is given, not taken from the clock: otherwise no bundle could be made twice."""
    assert read_bundle(made).created_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_find_bundle_takes_a_registered_name(workspace: Workspace) -> None:
    """`name@number` and `name@alias` lead to the registered copy; one that was changed afterwards is refused."""
    from loopline.registry import promote, register

    bundle = read_bundle(make_bundle(workspace.bundles))
    register(workspace.bundles / folder_name(bundle), name="shapes", workspace=workspace)
    promote("shapes@1", "champion", workspace=workspace)
    for reference in ("shapes@1", "shapes@champion"):
        assert read_bundle(find_bundle(reference, workspace)) == bundle
    with pytest.raises(UnknownName, match="champoin"):
        find_bundle("shapes@champoin", workspace)
    rewrite(find_bundle("shapes@1", workspace), {"licence": "none"})
    with pytest.raises(IntegrityError, match="does not hold the bundle that is registered as shapes@1"):
        find_bundle("shapes@1", workspace)
