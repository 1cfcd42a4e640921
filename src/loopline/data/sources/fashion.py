"""Fashion-MNIST: 70,000 grey pictures of clothes, 28×28, ten classes (Xiao, Rasul and Vollgraf, 2017).

From the project's HTTPS mirrors; where they cannot be reached, from Debian's package by `apt-get download` and
`dpkg-deb -x`, which need no root. Either way every file must have the known digest.
"""

from __future__ import annotations

import gzip
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError, IntegrityError
from loopline.core.progress import bar
from loopline.core.store import digest_bytes
from loopline.data.listing import Computed, Listing
from loopline.data.sources.download import Unreachable, download

MIRRORS = (
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
)
PACKAGE = "dataset-fashion-mnist"
# SHA-256 of the files as they are after gzip: the routes pack the same content with other headers.
FILES = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
LABEL_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_APT_OPTIONS = ("-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=5", "-o", "Acquire::https::Timeout=5")
_APT_TIMEOUT_S = 60.0


def list_fashion(
    *, mirrors: Sequence[str] = MIRRORS, files: Mapping[str, str] = FILES, stall_s: float = 4.0
) -> Listing:
    """Gets the four files and lists their pictures as PNG; train and test as published.

    A mirror that sends nothing for `stall_s` is given up. Raises `InputError` where no route works.
    """
    contents, route = _fetch(mirrors, files, stall_s)
    pictures: list[bytes] = []
    targets, ids, splits = [], [], []
    for split, prefix in (("train", "train"), ("test", "t10k")):
        x_NHW = read_idx(contents[f"{prefix}-images-idx3-ubyte"])
        pictures += [png_bytes(x_HW) for x_HW in x_NHW]
        targets += [LABEL_NAMES[label] for label in read_idx(contents[f"{prefix}-labels-idx1-ubyte"])]
        ids += [f"{index:05d}" for index in range(len(x_NHW))]
        splits += [split] * len(x_NHW)
    return Listing(
        inputs=Computed(len(pictures), pictures.__getitem__),
        ids=ids,
        targets=targets,
        splits=splits,
        source=f"Fashion-MNIST (https://github.com/zalandoresearch/fashion-mnist), by {route}",
        label_names=LABEL_NAMES,
    )


def read_idx(data: bytes) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, of whatever rank its header says; raises `IntegrityError`."""
    rank = data[3] if len(data) > 3 and data[:3] == b"\0\0\x08" else 0
    shape = struct.unpack_from(f">{rank}I", data, 4) if len(data) >= 4 + 4 * rank else ()
    values = np.frombuffer(data, dtype=np.uint8, offset=min(len(data), 4 + 4 * rank))
    if rank == 0 or values.size != np.prod(shape):
        raise IntegrityError(f"{len(data)} bytes given that are no IDX file of unsigned bytes.")
    return values.reshape(shape)


def png_bytes(x_HW: NDArray[np.uint8]) -> bytes:
    """A grey PNG file of uint8 pixels: four times faster than an imaging library for pictures as small as these.

    Source: PNG specification, third edition: every row begins with its filter type, here 0 for none.
    """
    height, width = x_HW.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)
    rows[:, 1:] = x_HW
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _fetch(mirrors: Sequence[str], files: Mapping[str, str], stall_s: float) -> tuple[dict[str, bytes], str]:
    """The files' contents and, in words, where they came from."""
    tried = []
    with bar("getting Fashion-MNIST", total=len(files)) as advance:
        for mirror in mirrors:
            contents = {}
            try:
                for name, digest in files.items():
                    contents[name] = _unpack(name, download(f"{mirror}/{name}.gz", stall_s=stall_s), digest)
                    advance(1)
            # A gateway that answers for a mirror sends a page instead of the file: as good as not reached.
            except (Unreachable, IntegrityError) as error:
                tried.append(str(error))
                continue
            return contents, mirror
        packed, package = _from_debian(files, tried)
        return {name: _unpack(name, packed[name], digest) for name, digest in files.items()}, package


def _unpack(name: str, packed: bytes, expected: str) -> bytes:
    try:
        content = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise IntegrityError(f"'{name}.gz' is no gzip file ({error})") from None
    if (given := digest_bytes(content)) != expected:
        raise IntegrityError(f"'{name}' has digest {given[:12]}…, expected {expected[:12]}…")
    return content


def _from_debian(files: Mapping[str, str], tried: list[str]) -> tuple[dict[str, bytes], str]:
    """The packed files out of Debian's package, and its name in words; raises `InputError` with all that was tried."""
    failed = f"Fashion-MNIST cannot be had: {'; '.join(tried)}"
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise InputError(
            f"{failed}; and this system has no apt-get.",
            next_command="connect to the network, then: loopline data get fashion",
        )
    with tempfile.TemporaryDirectory() as folder:
        # As root, apt reads as its own user, who may not enter a private folder, and says so at length.
        Path(folder).chmod(0o755)
        result = _run(["apt-get", "download", "--quiet", *_APT_OPTIONS, PACKAGE], folder)
        packages = list(Path(folder).glob("*.deb"))
        if result.returncode != 0 or not packages:
            raise InputError(
                f"{failed}; and apt-get download {PACKAGE} failed: {_last_line(result)}",
                next_command="sudo apt-get update, then: loopline data get fashion",
            )
        result = _run(["dpkg-deb", "-x", packages[0].name, "files"], folder)
        if result.returncode != 0:
            raise InputError(f"{failed}; and dpkg-deb failed: {_last_line(result)}")
        found = {path.stem: path.read_bytes() for path in Path(folder, "files").rglob("*-ubyte.gz")}
        if missing := sorted(files.keys() - found.keys()):
            raise IntegrityError(f"Debian package {packages[0].stem} lacks {', '.join(missing)}.")
        return found, f"Debian package {packages[0].stem} (no mirror was reached)"


def _run(command: list[str], folder: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - fixed words
            command, cwd=folder, capture_output=True, text=True, timeout=_APT_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no end after {_APT_TIMEOUT_S:.0f} s.")


def _last_line(result: subprocess.CompletedProcess[str]) -> str:
    lines = (result.stderr or result.stdout).strip().splitlines()
    return lines[-1].removeprefix("E: ") if lines else f"exit code {result.returncode}."
