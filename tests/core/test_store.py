"""Digests, atomic writes and locks, with real processes that are really killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loopline.core import store
from loopline.core.errors import InputError, IntegrityError, StateError
from loopline.core.records import DatasetRef, Record

NAME = "fashion"
VERSION = "a" * 64


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Starts a fresh interpreter on a program text; the caller reads its lines and ends it."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for_line(process: subprocess.Popen[str], expected: str) -> None:
    """Waits until the process has printed a line, which must be the expected one."""
    assert process.stdout is not None
    assert process.stdout.readline().strip() == expected


def kill(process: subprocess.Popen[str]) -> None:
    """Ends a process as the kernel would, without a chance to clean up."""
    process.kill()
    process.communicate()


def test_digests_are_sha256() -> None:
    """A digest is the SHA-256 that any other program computes."""
    assert store.digest_bytes(b"loop") == hashlib.sha256(b"loop").hexdigest()


def test_digest_of_a_file_is_the_digest_of_its_bytes(tmp_path: Path) -> None:
    """A file longer than one piece has the digest of its bytes."""
    data = bytes(range(256)) * 8192
    (tmp_path / "file").write_bytes(data)
    assert store.digest_file(tmp_path / "file") == store.digest_bytes(data)


def test_canonical_json_is_one_text_per_value() -> None:
    """Key order and non-ASCII text do not change the canonical text; NaN has none."""
    assert store.canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    assert store.digest_json({"b": 1, "a": 2}) == store.digest_json({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.canonical_json(float("nan"))


def test_json_is_written_for_people(tmp_path: Path) -> None:
    """JSON on disk has sorted keys, an indent, plain letters and a last line end."""
    store.write_json(tmp_path / "new" / "file.json", {"b": "é", "a": 1})
    assert (tmp_path / "new" / "file.json").read_bytes() == '{\n  "a": 1,\n  "b": "é"\n}\n'.encode()


def test_text_has_the_same_line_ends_everywhere(tmp_path: Path) -> None:
    """Text is written with line feeds alone, so that digests agree between systems."""
    store.write_text(tmp_path / "page", "one\ntwo\n")
    assert (tmp_path / "page").read_bytes() == b"one\ntwo\n"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """An error inside `atomic_file` keeps the old content and removes the temporary file."""
    path = tmp_path / "file"
    store.write_bytes(path, b"old")

    def fail() -> None:
        with store.atomic_file(path) as temporary:
            temporary.write_bytes(b"new")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


KILLED_WRITER = """
import sys, time
from pathlib import Path
from loopline.core.store import atomic_file
with atomic_file(Path(sys.argv[1])) as temporary:
    with temporary.open("wb") as file:
        file.write(b"half of the new content")
        file.flush()
        print("written", flush=True)
        time.sleep(60)
"""


def test_a_killed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """A process killed in the middle of a write leaves the old content; its remains are hidden and are no JSON."""
    path = tmp_path / "run.json"
    store.write_json(path, {"state": "old"})
    writer = start(KILLED_WRITER, path)
    wait_for_line(writer, "written")
    kill(writer)
    assert store.read_json(path) == {"state": "old"}
    remains = [other for other in tmp_path.iterdir() if other != path]
    assert [(name.name.startswith(".run.json."), name.suffix) for name in remains] == [(True, ".tmp")]


KILLED_FOLDER = """
import sys, time
from pathlib import Path
from loopline.core.store import atomic_folder
with atomic_folder(Path(sys.argv[1])) as temporary:
    (temporary / "one").write_bytes(b"1")
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_killed_folder_never_appears(tmp_path: Path) -> None:
    """A process killed while it fills a folder leaves no folder of that name, and the next one can make it."""
    path = tmp_path / "bundle"
    writer = start(KILLED_FOLDER, path)
    wait_for_line(writer, "written")
    kill(writer)
    assert not path.exists()
    with store.atomic_folder(path) as temporary:
        (temporary / "deep").mkdir()
        (temporary / "deep" / "file").write_bytes(b"2")
    assert (path / "deep" / "file").read_bytes() == b"2"


def test_a_failed_folder_is_removed(tmp_path: Path) -> None:
    """An error inside `atomic_folder` leaves nothing behind."""

    def fail() -> None:
        with store.atomic_folder(tmp_path / "bundle") as temporary:
            (temporary / "one").write_bytes(b"1")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_never_rewritten(tmp_path: Path) -> None:
    """A folder that exists is refused in a sentence that names it."""
    (tmp_path / "bundle").mkdir()
    with (
        pytest.raises(StateError, match=r"folder '.*bundle' exists already; expected a new name\."),
        store.atomic_folder(tmp_path / "bundle"),
    ):
        pass


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    """A record that is written and read is equal to itself."""
    record = DatasetRef(name=NAME, version=VERSION)
    store.write_record(tmp_path / "ref.json", record)
    assert store.read_record(DatasetRef, tmp_path / "ref.json") == record


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"name": NAME, "version": VERSION, "verison": 1}, "verison: Extra inputs are not permitted"),
        ({"name": NAME}, "version: Field required"),
        ({"name": "../up", "version": VERSION}, "name: String should match pattern"),
        ([], "record: Input should be"),
    ],
    ids=["unknown", "missing", "wrong", "not an object"],
)
def test_a_wrong_record_is_named_with_its_keys(tmp_path: Path, value: object, problem: str) -> None:
    """Reading a record says which file and which key is unknown, missing or wrong."""
    path = tmp_path / "ref.json"
    path.write_text(json.dumps(value))
    with pytest.raises(IntegrityError) as caught:
        store.read_record(DatasetRef, path)
    assert caught.value.message.startswith(f"'{path}' is no valid DatasetRef: ")
    assert problem in caught.value.message


def test_every_wrong_key_is_told_at_once(tmp_path: Path) -> None:
    """Two problems are one message, so that one correction is enough."""
    store.write_json(tmp_path / "ref.json", {"name": NAME, "one": 1})
    with pytest.raises(IntegrityError, match=r"version: Field required; one: Extra inputs are not permitted\."):
        store.read_record(DatasetRef, tmp_path / "ref.json")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""], ids=["cut", "not text", "empty"])
def test_what_is_no_json_is_named(tmp_path: Path, content: bytes) -> None:
    """A broken JSON file is an integrity error that names the file."""
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"file '.*run\.json' is not JSON"):
        store.read_json(tmp_path / "run.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is an input error that names it."""
    with pytest.raises(InputError, match=r"file '.*none\.json' does not exist\."):
        store.read_json(tmp_path / "none.json")


HOLDER = """
import sys
from pathlib import Path
from loopline.core.store import lock
with lock(Path(sys.argv[1]), holder="the run"):
    print("held", flush=True)
    sys.stdin.readline()
print("freed", flush=True)
"""


def test_a_lock_keeps_other_processes_out(tmp_path: Path) -> None:
    """While one process holds a lock another is refused in a sentence; afterwards it gets it."""
    path = tmp_path / "room" / "lock"
    assert not store.is_locked(path)
    holder = start(HOLDER, path)
    wait_for_line(holder, "held")
    assert store.is_locked(path)
    with (
        pytest.raises(StateError, match=r"run abc is in use by another process \(lock '.*lock'\)\."),
        store.lock(path, holder="run abc"),
    ):
        pass
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()
    wait_for_line(holder, "freed")
    holder.communicate()
    assert not store.is_locked(path)
    with store.lock(path, holder="run abc"):
        assert store.is_locked(path)


def test_a_killed_holder_frees_its_lock(tmp_path: Path) -> None:
    """A lock never outlives its process, however that ends."""
    path = tmp_path / "lock"
    holder = start(HOLDER, path)
    wait_for_line(holder, "held")
    kill(holder)
    assert holder.returncode == (-signal.SIGKILL if os.name == "posix" else 1)
    assert not store.is_locked(path)
    with store.lock(path, holder="the run", timeout_s=5):
        pass


def test_reading_a_record_does_not_depend_on_the_kind_of_record(tmp_path: Path) -> None:
    """Any subclass of Record can be read, also one that a test makes up."""

    class Stone(Record):
        weight_g: float

    store.write_json(tmp_path / "stone.json", {"weight_g": 2.5})
    assert store.read_record(Stone, tmp_path / "stone.json").weight_g == 2.5


def test_a_folder_of_results_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """`replace_folder` makes a folder, and makes it anew without a trace of the old one."""
    path = tmp_path / "report"
    for name in ("first", "second"):
        with store.replace_folder(path) as temporary:
            (temporary / name).write_text(name)
    assert [file.name for file in path.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_replacement_keeps_the_old_folder(tmp_path: Path) -> None:
    """An error while the new folder is filled leaves the old one."""
    path = tmp_path / "report"
    with store.replace_folder(path) as temporary:
        (temporary / "old").write_text("old")

    def fail() -> None:
        with store.replace_folder(path) as temporary:
            (temporary / "new").write_text("new")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    assert [file.name for file in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]
