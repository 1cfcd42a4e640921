"""What a prediction is as a row of the log, as a record, and as one line of a window's arrays.

Outputs and embeddings are little-endian float32, 4 bytes a number, so that a window of 100,000 rows becomes an array in
well under a second. The names of the outputs are stored once per bundle.

Shapes: N rows, K outputs (classes, a value and its interval, features of a text), D numbers of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loopline.core.records import Prediction

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class LogRow(NamedTuple):
    """One prediction on its way to the log: the columns of the table, then what belongs into the other tables."""

    request_id: str
    created_us: int
    model: str
    bundle_digest: str
    input_digest: str
    embedding: bytes
    outputs: bytes
    predicted: str
    status: str
    batch_size: int
    decode_ms: float
    queue_ms: float
    infer_ms: float
    total_ms: float
    output_names: tuple[str, ...]
    # The raw input; None leaves nothing but its digest.
    input_bytes: bytes | None = None


# The columns that a server writes, and those of them all.
WRITTEN = LogRow._fields[:-2]
READ = (*WRITTEN, "label", "rating", "labelled_us")
# What a window's arrays are made of.
COLUMNS = ("request_id", "created_us", "predicted", "label", "rating", "outputs", "embedding", "infer_ms")
# What a record spells differently from a row.
_CONVERTED = {"created_us", "embedding", "outputs"}


@dataclass(frozen=True)
class PredictionColumns:
    """A window of the log as arrays: rows of one bundle, oldest first."""

    bundle_digest: str | None
    output_names: tuple[str, ...]
    request_ids: list[str]
    created_at: list[datetime]
    predicted: list[str]
    labels: list[str | None]
    ratings: list[str | None]
    # float32, N×K and N×D; 0×0 for an empty window.
    outputs: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    # float64, N: how long the engine took for the batch that the row was in.
    infer_ms: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.request_ids)


def row_of(prediction: Prediction) -> LogRow:
    """A record as a row; what became known of it later is no part of a row."""
    return LogRow(
        created_us=microseconds(prediction.created_at),
        embedding=float32_bytes(prediction.embedding),
        outputs=float32_bytes(list(prediction.outputs.values())),
        output_names=tuple(prediction.outputs),
        **{name: getattr(prediction, name) for name in WRITTEN if name not in _CONVERTED},
    )


def record_of(row: Sequence[Any], names: Mapping[str, tuple[str, ...]]) -> Prediction:
    """The values of the columns `READ` as a record; `names` are the outputs of each bundle."""
    fields = dict(zip(READ, row, strict=True))
    labelled_us = fields.pop("labelled_us")
    outputs = np.frombuffer(fields.pop("outputs"), "<f4").tolist()
    return Prediction(
        created_at=_moment(fields.pop("created_us")),
        embedding=tuple(np.frombuffer(fields.pop("embedding"), "<f4").tolist()),
        outputs=dict(zip(names[fields["bundle_digest"]], outputs, strict=True)),
        labelled_at=None if labelled_us is None else _moment(labelled_us),
        **fields,
    )


def columns_of(rows: Sequence[Sequence[Any]], digest: str | None, names: tuple[str, ...]) -> PredictionColumns:
    """Rows of `COLUMNS` as arrays; `digest` and `names` are the bundle's, None and none for an empty window."""
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
    return PredictionColumns(
        bundle_digest=digest,
        output_names=names,
        request_ids=list(columns[0]),
        created_at=[_moment(value) for value in columns[1]],
        predicted=list(columns[2]),
        labels=list(columns[3]),
        ratings=list(columns[4]),
        outputs=_matrix(columns[5]),
        embeddings=_matrix(columns[6]),
        infer_ms=np.array(columns[7], dtype=np.float64),
    )


def float32_bytes(numbers: Sequence[float] | NDArray[np.floating[Any]]) -> bytes:
    """Numbers as a row stores them: little-endian float32."""
    return np.asarray(numbers, "<f4").tobytes()


def microseconds(moment: datetime) -> int:
    """A moment as a row stores it: whole microseconds since 1970-01-01 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def _matrix(blobs: Sequence[bytes]) -> NDArray[np.float32]:
    joined = np.frombuffer(b"".join(blobs), "<f4").astype(np.float32)
    return joined.reshape(len(blobs), -1) if blobs else joined.reshape(0, 0)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
