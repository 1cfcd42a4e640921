"""Folders in stores: real protocols, spoken by emulators on loopback."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopline.core.errors import InputError, IntegrityError, StateError, UnknownName
from loopline.storage import Place, copying, open_place, pull_folder, push_folder, read_listing

BUCKET = "potato-models"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 server of moto's with a bucket; yields its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    names = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=address, **names).create_bucket(Bucket=BUCKET)
    yield address
    server.stop()


@pytest.fixture(scope="module")
def gcs() -> Iterator[str]:
    """A Cloud Storage emulator with a bucket; yields its address."""
    from gcp_storage_emulator.server import create_server

    logging.getLogger("gcp_storage_emulator").setLevel(logging.ERROR)
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
    server.start()
    host, port = server._api._httpd.socket.getsockname()[:2]
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["file", "s3", "gs"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty place in each store; emulators are named as users name them, by the stores' own variables."""
    name = f"{request.node.name}-{tmp_path.name}".replace("[", "-").replace("]", "")
    if request.param == "file":
        return open_place(f"file://{tmp_path / 'store'}")
    address = request.getfixturevalue({"s3": "s3", "gs": "gcs"}[request.param])
    if request.param == "s3":
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(variable, "x")
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
    else:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    return open_place(f"{request.param}://{BUCKET}/{name}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of several sizes in several folders, and some that stay here."""
    folder = tmp_path / "here"
    for index in range(6):
        path = folder / f"shards/{index % 3}/{index:03d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([index]) * (index * 1000))
    (folder / "manifest.json").write_text("{}")
    for name in (".hidden", "run.lock", ".NAME.x.tmp"):
        (folder / name).write_text("stays")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_comes_back_as_it_was_sent(place: Place, folder: Path, tmp_path: Path) -> None:
    """In every store: sent, fetched, equal; nothing hidden, nothing temporary, no lock."""
    sent = push_folder(folder, place)
    assert (sent.num_files, sent.num_present) == (7, 0)
    fetched = pull_folder(place, tmp_path / "there")
    assert fetched == copying.Copied(7, sent.num_bytes, 0)
    expected = {name: data for name, data in content(folder).items() if "hidden" not in name and "." in name[1:]}
    expected = {name: data for name, data in expected.items() if not name.endswith((".lock", ".tmp"))}
    assert content(tmp_path / "there") == expected


def test_the_second_time_nothing_is_copied(place: Place, folder: Path, tmp_path: Path) -> None:
    """What is there is not sent, what is here is not fetched; what changed is, and what is gone goes."""
    push_folder(folder, place)
    assert push_folder(folder, place) == copying.Copied(0, 0, 7)
    pull_folder(place, tmp_path / "there")
    assert pull_folder(place, tmp_path / "there").num_files == 0
    # The same length as before, so that only the digest tells.
    (folder / "manifest.json").write_text("[]")
    (folder / "shards/0/000.bin").unlink()
    assert push_folder(folder, place) == copying.Copied(1, 2, 5)
    assert "shards/0/000.bin" not in place.sizes()
    assert pull_folder(place, tmp_path / "there").num_files == 1
    assert (tmp_path / "there/manifest.json").read_text() == "[]"


def test_an_interrupted_push_goes_on_and_is_not_taken_for_whole(
    place: Place, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push that died after some files sends the others; until then nobody can pull half a folder."""
    monkeypatch.setattr(copying, "_NUM_THREADS", 1)
    monkeypatch.setattr(copying, "_FILES_A_LISTING", 1)
    send, sent = Place.send, list[str]()

    def die_after_three(self: Place, local: str, name: str) -> None:
        if len(sent) == 3:
            raise KeyboardInterrupt
        sent.append(name)
        send(self, local, name)

    monkeypatch.setattr(Place, "send", die_after_three)
    with pytest.raises(KeyboardInterrupt):
        push_folder(folder, place)
    monkeypatch.setattr(Place, "send", send)
    with pytest.raises(StateError, match="is not whole: its push was interrupted"):
        pull_folder(place, tmp_path / "there")
    again = push_folder(folder, place)
    assert 0 < again.num_present <= 3
    assert again.num_files + again.num_present == 7
    assert pull_folder(place, tmp_path / "there").num_files == 7


def test_a_damaged_file_is_never_kept(place: Place, folder: Path, tmp_path: Path) -> None:
    """A byte that changed in the store is noticed, and no file of that name is left here."""
    push_folder(folder, place)
    place.write("shards/1/001.bin", b"\x02" * 1000)
    with pytest.raises(IntegrityError, match="is not the file that was pushed"):
        pull_folder(place, tmp_path / "there")
    assert not (tmp_path / "there/shards/1/001.bin").exists()


def test_only_what_is_chosen(place: Place, folder: Path, tmp_path: Path) -> None:
    """A part of a folder goes, and a part of that comes."""
    assert push_folder(folder, place, only=lambda name: name.endswith(".bin")).num_files == 6
    assert pull_folder(place, tmp_path / "there", only=lambda name: "/0/" in name).num_files == 2


def test_a_place_with_nothing(place: Place, tmp_path: Path) -> None:
    """Nothing was pushed there, and there is nothing to push."""
    with pytest.raises(UnknownName):
        read_listing(place)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StateError, match="there is nothing to send"):
        push_folder(tmp_path / "empty", place)


def test_a_bucket_that_does_not_exist(gcs: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's own words, and how to look."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs)
    with pytest.raises(StateError, match=r"at gs://no-such-bucket/x failed: .* Next: gcloud storage ls gs://no-such"):
        push_folder(folder, open_place("gs://no-such-bucket/x"))


def test_a_listing_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    """Whoever may write to the bucket may not write elsewhere on this machine."""
    place = open_place(f"file://{tmp_path / 'store'}")
    entry = {"digest": "0" * 64, "num_bytes": 1}
    listing = {"schema_version": 1, "complete": True, "files": {"../../x": entry}}
    place.write(".loopline.json", json.dumps(listing).encode())
    with pytest.raises(IntegrityError, match="leaves its folder"):
        pull_folder(place, tmp_path / "there")
    place.write(".loopline.json", b"{}")
    with pytest.raises(IntegrityError, match="is no listing"):
        read_listing(place)


@pytest.mark.parametrize("url", ["gs:/bucket", "ftp://host/x", "gs://", "models"])
def test_another_kind_of_address_is_refused(url: str) -> None:
    """What is expected is said."""
    with pytest.raises(InputError, match=r"expected gs://BUCKET/PATH, s3://BUCKET/PATH or file:///PATH"):
        open_place(url)
