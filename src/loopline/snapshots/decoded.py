"""The decoded cache: a split's inputs after the sample steps, as one array on disk that every reader maps.

N examples.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError, InvalidExample
from loopline.core.progress import bar
from loopline.core.store import atomic_file, digest_json, lock
from loopline.snapshots.reader import SplitReader
from loopline.snapshots.workers import map_chunks

if TYPE_CHECKING:
    from loopline.transforms import Pipeline

_CHUNK = 512
# Another process may be decoding the same split: worth waiting for, since doing it twice takes no less.
_WAIT_S = 3600.0


def decoded_inputs(split: SplitReader, pipeline: Pipeline, cache: Path, *, num_workers: int = 0) -> NDArray[Any]:
    """The split's inputs as `pipeline.decode` gives them, stacked: a read-only memory map, in the split's order.

    The array is made once per split digest, sample steps and Pillow version, under a lock, in `num_workers` processes
    (0: this one), and written to `cache`/decoded. Processes that map it share its memory. Raises `InputError` naming
    the example that the pipeline refuses.
    """
    path = cache / "decoded" / f"{_key(split, pipeline)}.npy"
    if not path.exists():
        with lock(path.with_suffix(".lock"), holder=f"the decoded cache '{path}'", timeout_s=_WAIT_S):
            if not path.exists():
                _write(path, split, pipeline, num_workers)
    decoded: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return decoded


def decode_chunk(chunk: tuple[SplitReader, Pipeline, Path, int, int]) -> str | None:
    """Decodes examples `start` to `stop` into the array at `path`; returns a sentence about one that is refused."""
    split, pipeline, path, start, stop = chunk
    x_N = np.lib.format.open_memmap(path, mode="r+")
    for index, raw in zip(range(start, stop), split.raw_many(range(start, stop)), strict=True):
        try:
            x = pipeline.decode(raw)
        except InvalidExample as error:
            return f"example '{split.ids[index]}' of split '{split.name}': {error.message}"
        x_N[index] = x
    x_N.flush()
    return None


def _key(split: SplitReader, pipeline: Pipeline) -> str:
    import PIL

    steps = [step.model_dump(mode="json") for step in pipeline.sample_steps]
    return digest_json({"split": split.digest, "steps": steps, "pillow": PIL.__version__})


def _write(path: Path, split: SplitReader, pipeline: Pipeline, num_workers: int) -> None:
    num_examples = split.num_examples
    with atomic_file(path) as temporary:
        shape = (num_examples, *pipeline.shape)
        np.lib.format.open_memmap(temporary, mode="w+", dtype=pipeline.dtype, shape=shape).flush()
        # The file is one hole so far: without its room taken now, a full disk ends the writing process with a signal.
        if hasattr(os, "posix_fallocate"):
            with temporary.open("rb+") as file:
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        starts = range(0, num_examples, _CHUNK)
        chunks = ((split, pipeline, temporary, start, min(start + _CHUNK, num_examples)) for start in starts)
        with bar(f"decoding {split.name}", total=num_examples) as advance:
            for refusal in map_chunks("loopline.snapshots.decoded:decode_chunk", chunks, num_workers=num_workers):
                if refusal is not None:
                    raise InputError(refusal)
                advance(_CHUNK)
