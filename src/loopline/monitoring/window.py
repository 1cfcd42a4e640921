"""A moment as people write it: `90s`, `15m`, `1h`, `7d` ago, or an ISO time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from loopline.core.errors import InputError
from loopline.core.records import utc_now

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def parse_moment(text: str, *, now: datetime | None = None) -> datetime:
    """The moment, in UTC: a duration counts back from `now`, a time without a zone is UTC. Raises `InputError`."""
    match = _AGO.fullmatch(text.strip())
    try:
        if match is not None:
            return (now or utc_now()) - timedelta(**{_UNITS[match[2]]: float(match[1])})
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise InputError(
            f"'{text}' given as a time; expected a duration such as 90s, 15m, 1h or 7d, or 2026-11-21T12:00:00Z."
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
