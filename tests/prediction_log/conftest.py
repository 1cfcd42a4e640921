"""What the tests of both kinds of log share: predictions and rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from loopline.core.records import Prediction
from loopline.prediction_log import LogRow, float32_bytes, microseconds

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NAMES = ("boot", "bag", "coat")
BUNDLE = "ab" * 32


@pytest.fixture
def prediction_of() -> Callable[..., Prediction]:
    """Makes one prediction per second after noon, with numbers that float32 holds exactly."""
    return make_prediction


@pytest.fixture
def row_of() -> Callable[..., LogRow]:
    """Makes rows of any width, a microsecond apart."""
    return make_row


def make_prediction(index: int = 0, *, bundle: str = BUNDLE, names: tuple[str, ...] = NAMES) -> Prediction:
    return Prediction(
        request_id=f"request-{index}",
        created_at=START + timedelta(seconds=index),
        model="fashion@champion",
        bundle_digest=bundle,
        input_digest=f"{index:064x}",
        embedding=(float(index), -0.5),
        outputs={name: (position + 1) / 8 for position, name in enumerate(names)},
        predicted=names[index % len(names)],
        batch_size=4,
        decode_ms=0.25,
        queue_ms=0.5,
        infer_ms=1.0,
        total_ms=2.0,
    )


def make_row(index: int, *, num_outputs: int = 10, num_embedding: int = 64) -> LogRow:
    return LogRow(
        request_id=f"request-{index}",
        created_us=microseconds(START) + index,
        model="fashion",
        bundle_digest=BUNDLE,
        input_digest=f"{index:064x}",
        embedding=float32_bytes(np.full(num_embedding, index, np.float32)),
        outputs=float32_bytes(np.full(num_outputs, 0.5, np.float32)),
        predicted=f"class {index % 10}",
        status="ok",
        batch_size=1,
        decode_ms=0.0,
        queue_ms=0.0,
        infer_ms=0.0,
        total_ms=0.0,
        output_names=tuple(f"class {k}" for k in range(num_outputs)),
    )
