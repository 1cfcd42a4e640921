"""Samples of confidential snapshots stay home: files that hold some are found, however they came there.

A file holds samples where it has 64 bytes in a row of one's raw or decoded bytes. Every sample is cut into blocks of 64
bytes, and a file is searched for these blocks at every place: whatever shares 127 bytes with a sample shares a whole
block. So a file is found that holds one band of a plot, a cut-out with whole rows, or pixels within another file, but
not a screenshot or what was compressed anew.

B blocks, P places.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import GateRefused, InputError
from loopline.core.progress import track
from loopline.core.records import DatasetManifest
from loopline.core.store import atomic_file, write_text
from loopline.core.workspace import Workspace
from loopline.snapshots import Snapshot, list_snapshots, open_snapshot
from loopline.transforms import Decode
from loopline.transforms.bands import DecodeBands
from loopline.transforms.image import DecodeImage

GITIGNORE = "# Confidential: no file of this folder leaves it.\n*\n"
_BLOCK = 64
# Blocks that repeat themselves (a white border, a run of one colour) stand in all kinds of files: at least so many of a
# block's bytes differ from those one period before, into which every pixel of 1, 2, 3, 4, 6 or 12 bytes fits.
_MIN_CHANGES, _PERIOD = 12, 12
# Of one content; a large picture is known by every second or third of its blocks.
_MAX_BLOCKS = 8192
# A block's hash is the sum of its bytes times the powers of this odd number, modulo 2^64 (Karp and Rabin, Efficient
# randomized pattern-matching algorithms, IBM Journal of Research and Development 31, 1987, 249-260).
_FACTOR = 0x9E3779B97F4A7C15
_INVERSE = pow(_FACTOR, -1, 1 << 64)
# Of a file, that are searched at once.
_PIECE_BYTES = 1 << 22


def hide(folder: Path) -> None:
    """Makes git pass over a folder, whatever it will hold."""
    write_text(folder / ".gitignore", GITIGNORE)


def guard(paths: Sequence[Path] | None = None, *, workspace: Workspace | None = None) -> int:
    """Searches files for samples of the workspace's confidential snapshots; returns how many files were searched.

    Without `paths` the files are those that git tracks or has staged in the current folder. Raises `GateRefused` with
    the files that hold samples, and `InputError` where there is no git repository to ask.
    """
    workspace = workspace or Workspace.default()
    chosen = [path for path in (_tracked() if paths is None else paths) if path.is_file()]
    found = find_samples(chosen, workspace=workspace)
    if found:
        names = ", ".join(f"'{path.as_posix()}'" for path in found[:10])
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        raise GateRefused(
            f"{len(found)} of {len(chosen)} files hold samples of confidential snapshots "
            f"({', '.join(each.name for each in _confidential(workspace))}): {names}{more}.",
            next_command="git rm --cached FILE, and keep it out by .gitignore",
        )
    return len(chosen)


def find_samples(paths: Sequence[Path], *, workspace: Workspace) -> list[Path]:
    """Those of the files that hold samples of the workspace's confidential snapshots."""
    secrets = [open_snapshot(each.name, workspace) for each in _confidential(workspace)]
    if not secrets or not paths:
        return []
    blocks_B = np.unique(np.concatenate([_known_blocks(snapshot, workspace.cache) for snapshot in secrets]))
    return [path for path in track(paths, "searching") if holds_blocks(path.read_bytes(), blocks_B)]


def sample_blocks(snapshot: Snapshot) -> NDArray[np.uint64]:
    """(B,): the hashes of the blocks of every sample of a snapshot, raw and decoded."""
    decoder = _decoder(snapshot.manifest)
    hashes = []
    for name in snapshot.manifest.splits:
        split = snapshot.split(name)
        for raw in track(split.raw_many(range(split.num_examples)), f"reading {name}", total=split.num_examples):
            hashes += [_blocks(content) for content in (raw, *_decoded(raw, decoder))]
    return np.unique(np.concatenate(hashes))


def _confidential(workspace: Workspace) -> list[DatasetManifest]:
    return [each for each in list_snapshots(workspace) if each.confidential]


def _known_blocks(snapshot: Snapshot, cache: Path) -> NDArray[np.uint64]:
    """The blocks of a version, computed once: a hook runs before every commit."""
    path = cache / "guard" / f"{snapshot.manifest.version}.npy"
    if not path.exists():
        blocks_B = sample_blocks(snapshot)
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, blocks_B)
    known_B: NDArray[np.uint64] = np.load(path, allow_pickle=False)
    return known_B


def holds_blocks(data: bytes, blocks_B: NDArray[np.uint64]) -> bool:
    """True where some block stands in the data, at whatever place; `blocks_B` are sorted hashes."""
    for start in range(0, max(1, len(data) - _BLOCK + 1), _PIECE_BYTES):
        places_P = _rolling(data[start : start + _PIECE_BYTES + _BLOCK - 1])
        nearest_P = np.minimum(np.searchsorted(blocks_B, places_P), len(blocks_B) - 1)
        if (blocks_B[nearest_P] == places_P).any():
            return True
    return False


def _blocks(content: bytes) -> NDArray[np.uint64]:
    """The hashes of the blocks of one sample that are not nearly empty."""
    whole = len(content) // _BLOCK * _BLOCK
    bytes_BB = np.frombuffer(content[:whole], dtype=np.uint8).reshape(-1, _BLOCK)
    changes_B = (bytes_BB[:, _PERIOD:] != bytes_BB[:, :-_PERIOD]).sum(axis=1)
    busy_BB = bytes_BB[changes_B >= _MIN_CHANGES]
    busy_BB = busy_BB[:: len(busy_BB) // _MAX_BLOCKS + 1]
    hashes_B: NDArray[np.uint64] = busy_BB.astype(np.uint64) @ _powers(_FACTOR, _BLOCK)
    return hashes_B


def _rolling(data: bytes) -> NDArray[np.uint64]:
    """(P,): the hash of the 64 bytes at every place of the data."""
    if len(data) < _BLOCK:
        return np.zeros(0, dtype=np.uint64)
    bytes_P = np.frombuffer(data, dtype=np.uint8).astype(np.uint64)
    sums_P = np.concatenate([[np.uint64(0)], np.cumsum(bytes_P * _powers(_FACTOR, len(data)), dtype=np.uint64)])
    # The sum from a place on begins with that place's power, which is divided away.
    hashes_P: NDArray[np.uint64] = (sums_P[_BLOCK:] - sums_P[:-_BLOCK]) * _powers(_INVERSE, len(data) - _BLOCK + 1)
    return hashes_P


def _powers(factor: int, number: int) -> NDArray[np.uint64]:
    powers = np.full(number, factor, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _decoder(manifest: DatasetManifest) -> Decode | None:
    """The decoder of pictures; None for texts and numbers, whose bytes are their content."""
    if manifest.input_kind == "image":
        return DecodeImage(mode="L" if manifest.statistics and len(manifest.statistics.mean) == 1 else "RGB")
    if manifest.input_kind == "bands" and manifest.statistics:
        names = tuple(f"band_{number}" for number in range(len(manifest.statistics.mean)))
        return DecodeBands(bands=names, max_saturated=1.0)
    return None


def _decoded(raw: bytes, decoder: Decode | None) -> Iterable[bytes]:
    """A picture's pixels as arrays and files keep them; bands also one after the other."""
    if decoder is None:
        return
    x_HWC = decoder(raw)
    yield x_HWC.tobytes()
    if isinstance(decoder, DecodeBands):
        yield x_HWC.transpose(2, 0, 1).tobytes()


def _tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=False)  # noqa: S607 - git is wherever its owner put it
    except FileNotFoundError:
        listed = None
    if listed is None or listed.returncode != 0:
        raise InputError("no git repository here to ask for its files.", next_command="loopline data guard FILE …")
    return [Path(name) for name in listed.stdout.split("\0") if name]
