"""API keys: who may ask, known by hashes alone.

A key is 32 random bytes, so one SHA-256 is enough: there is nothing to guess, and checking costs a microsecond.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from loopline.core.errors import ConfigError

_PREFIX = "ll_"
_KEY = re.compile(r"ll_[A-Za-z0-9_-]{43}")
_ENTRY = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-f]{64})")


class KeyEntry(NamedTuple):
    """What a server knows of a key: whose it is, and its SHA-256."""

    name: str
    digest: str

    def __str__(self) -> str:
        return f"{self.name}:{self.digest}"


def make_key(name: str) -> tuple[str, KeyEntry]:
    """A new key for `name`, to be given away, and the entry by which a server knows it.

    Raises `ConfigError` for a name that is not up to 64 letters, digits, `.`, `_` and `-`.
    """
    key = f"{_PREFIX}{secrets.token_urlsafe(32)}"
    return key, parse_entry(f"{name}:{_digest(key.encode())}")


def parse_entry(text: str) -> KeyEntry:
    """`NAME:SHA256`; raises `ConfigError` for anything else, which is not repeated: it may be a key."""
    match = _ENTRY.fullmatch(text)
    if match is None:
        kind = "a key itself" if _KEY.search(text) else "something else"
        raise ConfigError(
            f"{kind} given as API key; expected NAME:SHA256 with a name of up to 64 letters, digits, '.', '_' and '-'.",
            next_command="loopline api-key NAME",
        )
    return KeyEntry(match[1], match[2])


def read_keys(entries: Sequence[str], file: Path | None) -> ApiKeys:
    """The keys of a server: entries, and those of a file, one a line; `#` begins a comment.

    Raises `ConfigError` for an entry that is none and for a name or key that is given twice.
    """
    lines: list[str] = [] if file is None else file.read_text("utf-8").splitlines()
    given = [line.partition("#")[0].strip() for line in lines]
    return ApiKeys(parse_entry(text) for text in (*entries, *filter(None, given)))


class ApiKeys:
    """The keys that a server takes; none at all means that everybody may ask."""

    def __init__(self, entries: Iterable[KeyEntry]) -> None:
        self._entries = list(entries)
        self.names = tuple(entry.name for entry in self._entries)
        digests = [entry.digest for entry in self._entries]
        for what, values in (("name", self.names), ("key", digests)):
            twice = next((value for value in values if list(values).count(value) > 1), None)
            if twice is not None:
                raise ConfigError(f"API key {what} '{twice[:64]}' given twice; expected each once.")

    def __bool__(self) -> bool:
        return bool(self._entries)

    def holder(self, key: bytes) -> int | None:
        """Whose key it is, as an index of `names`; None for a wrong one. Takes the same time for every key."""
        given, found = _digest(key).encode(), None
        for index, entry in enumerate(self._entries):
            # All of them, whichever matches: how long it takes tells nothing.
            if hmac.compare_digest(given, entry.digest.encode()):
                found = index
        return found


def _digest(key: bytes) -> str:
    return sha256(key).hexdigest()
