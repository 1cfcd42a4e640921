"""What two snapshots share when they are the same: the canonical texts that versions are digests of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from loopline.core.records import InputKind, Task
from loopline.core.store import digest_bytes, digest_json


def triple(hex_digest: str, example_id: str, target: int | float | str) -> str:
    """The canonical text of one row; its parts hold no NUL, so rows cannot be confused."""
    return f"{hex_digest}\0{example_id}\0{target}\0"


def rows_digest(triples: Iterable[str]) -> str:
    """The digest of a shard's or a split's rows, given in order."""
    return digest_bytes("".join(triples).encode())


def version_digest(
    *,
    task: Task,
    input_kind: InputKind,
    input_shape: Sequence[int] | None,
    label_names: Sequence[str],
    split_digests: Mapping[str, str],
) -> str:
    """A snapshot's version: the digest of what it holds, not of when, from where or in which files."""
    return digest_json(
        {
            "task": task,
            "input_kind": input_kind,
            "input_shape": None if input_shape is None else list(input_shape),
            "label_names": list(label_names),
            "splits": dict(split_digests),
        }
    )
