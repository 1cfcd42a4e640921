"""What every record is: frozen, complete, and deaf to keys it does not know."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints


class Record(BaseModel):
    """A frozen value that checks its own parts, refuses unknown keys and knows nothing about disk."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_timedelta="float")


class Component(Record):
    """The configuration of one alternative of a closed table, chosen by its `name` in that table."""

    name: str


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs its zone, as in 2026-11-21T12:00:00Z")
    return value.astimezone(UTC)


Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Time = Annotated[datetime, AfterValidator(_in_utc)]
# A name becomes a folder, an alias, a URL part: no separators, no leading dot or dash.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]


def utc_now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)
