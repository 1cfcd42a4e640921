"""Fashion-MNIST from a mirror (a real HTTP server) and from a Debian package (a real one, built here)."""

from __future__ import annotations

import gzip
import http.server
import io
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from loopline.core.errors import InputError, IntegrityError, UnknownName
from loopline.core.store import digest_bytes
from loopline.core.workspace import Workspace
from loopline.data import catalogue, get
from loopline.data.listing import Listing
from loopline.data.sources.download import Unreachable, download
from loopline.data.sources.fashion import FILES, LABEL_NAMES, PACKAGE, list_fashion, png_bytes, read_idx
from loopline.transforms.image import DecodeImage


def idx(values: NDArray[np.uint8]) -> bytes:
    return b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture(scope="session")
def contents() -> dict[str, bytes]:
    """The four files as published, in small: 300 train and 60 test pictures of noise, all ten labels."""
    random = np.random.default_rng(0)
    found = {}
    for prefix, number in (("train", 300), ("t10k", 60)):
        pictures = random.integers(0, 256, (number, 28, 28), dtype=np.uint8)
        found[f"{prefix}-images-idx3-ubyte"] = idx(pictures)
        found[f"{prefix}-labels-idx1-ubyte"] = idx((np.arange(number) % 10).astype(np.uint8))
    return found


@pytest.fixture(scope="session")
def files(contents: dict[str, bytes]) -> dict[str, str]:
    """Their digests."""
    return {name: digest_bytes(content) for name, content in contents.items()}


@pytest.fixture
def mirror(contents: dict[str, bytes], tmp_path: Path) -> Iterator[str]:
    """The URL of a server that has them."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in contents.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]  # handed on as they came

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the parent's name
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def no_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A system without apt-get: an empty folder is all there is on the path."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


@pytest.fixture
def apt(contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real package with the files, and an `apt-get` that downloads it from the next folder."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb")
    tree = tmp_path / "tree"
    folder = tree / "usr/share/datasets/fashion-mnist"
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    (tree / "DEBIAN").mkdir()
    control = f"Package: {PACKAGE}\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: test\n"
    (tree / "DEBIAN" / "control").write_text(control)
    package = tmp_path / f"{PACKAGE}_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "-Znone", str(tree), str(package)], check=True, capture_output=True)
    script(tmp_path / "bin", f'test "$1" = download && cp {package} .')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")


def script(folder: Path, body: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "apt-get").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "apt-get").chmod(0o755)


def check(listing: Listing, contents: dict[str, bytes]) -> None:
    train = read_idx(contents["train-images-idx3-ubyte"])
    assert len(listing) == 360
    assert listing.splits == ["train"] * 300 + ["test"] * 60
    assert listing.targets[:10] == list(LABEL_NAMES)
    (raw,) = listing.inputs.read([7])
    np.testing.assert_array_equal(DecodeImage(mode="L")(raw)[:, :, 0], train[7])


def test_the_first_mirror_that_answers_is_used(
    contents: dict[str, bytes], files: dict[str, str], mirror: str, silent: str
) -> None:
    listing = list_fashion(mirrors=("http://127.0.0.1:9", silent, mirror), files=files, stall_s=0.3)
    check(listing, contents)
    assert listing.source.endswith(f"by {mirror}")


def test_debians_package_is_used_where_no_mirror_answers(
    contents: dict[str, bytes], files: dict[str, str], apt: None
) -> None:
    listing = list_fashion(mirrors=("http://127.0.0.1:9",), files=files)
    check(listing, contents)
    assert listing.source.endswith(f"by Debian package {PACKAGE}_1_all (no mirror was reached)")


def test_a_mirror_with_other_bytes_is_not_believed(files: dict[str, str], mirror: str, no_apt: Path) -> None:
    with pytest.raises(InputError, match=r"'train-images-idx3-ubyte' has digest .* expected 000000000000"):
        list_fashion(mirrors=(mirror,), files={**files, "train-images-idx3-ubyte": "0" * 64})


def test_a_gateways_page_instead_of_the_file_is_not_believed(mirror: str, tmp_path: Path, no_apt: Path) -> None:
    (tmp_path / "mirror" / "train-images-idx3-ubyte.gz").write_text("<html>please log in</html>")
    with pytest.raises(InputError, match="is no gzip file"):
        list_fashion(mirrors=(mirror,))


def test_without_network_and_apt_the_error_says_what_to_do(no_apt: Path) -> None:
    with pytest.raises(InputError, match=r"127\.0\.0\.1 not reached .* this system has no apt-get") as refusal:
        list_fashion(mirrors=("http://127.0.0.1:9",))
    assert refusal.value.next_command == "connect to the network, then: loopline data get fashion"


def test_without_package_lists_the_error_names_the_command_that_gets_them(apt: None, tmp_path: Path) -> None:
    script(tmp_path / "bin", f"echo 'E: Unable to locate package {PACKAGE}' >&2; exit 100")
    with pytest.raises(InputError, match="failed: Unable to locate package") as refusal:
        list_fashion(mirrors=())
    assert refusal.value.next_command == "sudo apt-get update, then: loopline data get fashion"


def test_an_apt_that_hangs_is_ended(apt: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "bin", "exec sleep 60")
    monkeypatch.setattr("loopline.data.sources.fashion._APT_TIMEOUT_S", 0.2)
    with pytest.raises(InputError, match="no end after 0 s"):
        list_fashion(mirrors=())


def test_a_package_that_is_none_or_lacks_a_file_is_refused(apt: None, files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="lacks other-file"):
        list_fashion(mirrors=(), files={**files, "other-file": "0" * 64})
    script(tmp_path / "bin", "echo nonsense > x.deb")
    with pytest.raises(InputError, match="dpkg-deb failed"):
        list_fashion(mirrors=())


def test_a_silent_server_is_given_up_in_time(silent: str) -> None:
    start = time.monotonic()
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 (sent nothing for 0\.2 s|not reached)"):
        download(silent, stall_s=0.2)
    assert time.monotonic() - start < 2


def test_a_missing_file_on_a_server_is_unreachable(mirror: str) -> None:
    with pytest.raises(Unreachable, match="not reached"):
        download(f"{mirror}/nothing", stall_s=5)


def test_a_second_get_uses_what_is_there(
    files: dict[str, str], mirror: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "loopline.data.sources.fashion.list_fashion.__kwdefaults__",
        {"mirrors": (mirror,), "files": files, "stall_s": 4.0},
    )
    first = get("fashion", workspace=workspace)
    assert (first.licence, first.label_names, first.input_shape) == ("MIT", LABEL_NAMES, (28, 28, 1))
    assert first.splits["test"].num_examples == 60
    assert set(first.splits) == {"train", "validation", "test"}
    monkeypatch.setattr(catalogue, "load", None)
    assert get("fashion", workspace=workspace) == first


def test_an_unknown_dataset_lists_the_known_ones(workspace: Workspace) -> None:
    sentence = r"dataset 'fasion' does not exist; known: .*, nitrogen\. Did you mean 'fashion'"
    with pytest.raises(UnknownName, match=sentence):
        get("fasion", workspace=workspace)


def test_the_published_files_are_named_with_their_digests() -> None:
    assert len(FILES) == 4
    assert all(len(digest) == 64 for digest in FILES.values())


@given(st.integers(1, 40), st.integers(1, 40), st.randoms(use_true_random=False))
def test_png_bytes_are_what_an_imaging_library_reads(height: int, width: int, random: np.random.RandomState) -> None:
    pixels = np.frombuffer(random.randbytes(height * width), dtype=np.uint8).reshape(height, width)  # type: ignore[attr-defined]  # hypothesis's is the standard library's
    with Image.open(io.BytesIO(png_bytes(pixels))) as image:
        image.verify()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(pixels)))), pixels)


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\x08", b"\0\0\x08\x03\0\0", b"\0\0\x0d\x01\0\0\0\x01x", b"\0\0\x08\x01\0\0\0\x05x"]
)
def test_bytes_that_are_no_idx_file_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="no IDX file"):
        read_idx(data)
