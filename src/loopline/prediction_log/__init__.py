"""The prediction log: a row for every answered request, and the truth when it arrives.

Serving appends, monitoring reads, each in its own process. A log is a SQLite file or a PostgreSQL database; a server
that writes to a database does so through a file of its own (`spool`), so that no answer waits for a network.
"""

from loopline.prediction_log.log import PredictionLog, Rating
from loopline.prediction_log.opening import (
    DATABASE_SCHEMES,
    is_url,
    log_of,
    open_log,
    open_log_to_write,
    prepare_log,
    shown_place,
)
from loopline.prediction_log.rows import LogRow, PredictionColumns, float32_bytes, microseconds

__all__ = [
    "DATABASE_SCHEMES",
    "LogRow",
    "PredictionColumns",
    "PredictionLog",
    "Rating",
    "float32_bytes",
    "is_url",
    "log_of",
    "microseconds",
    "open_log",
    "open_log_to_write",
    "prepare_log",
    "shown_place",
]
