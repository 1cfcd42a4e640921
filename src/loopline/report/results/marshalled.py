"""Reads the few kinds of values that cProfile writes, in Python's marshal format, from files that nobody vouches for.

`marshal.loads` must not see bytes from elsewhere: what is malformed may crash the interpreter. This reader knows
numbers, texts, tuples and dictionaries (versions 2 to 5 of the format, as CPython's `Python/marshal.c` writes them) and
refuses the rest.
"""

from __future__ import annotations

import struct
from typing import Any

_MAX_DEPTH = 8
_NULL = object()


class NotPlain(ValueError):
    """Bytes that are no marshalled numbers, texts, tuples and dictionaries."""


def read_marshalled(data: bytes) -> Any:
    """The value in the bytes; raises `NotPlain` for anything but numbers, texts, tuples and dictionaries."""
    reader = _Reader(data)
    try:
        return reader.value(0)
    except (struct.error, IndexError, UnicodeDecodeError, TypeError) as error:
        raise NotPlain(f"at byte {reader.place}: {error}") from None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.place = 0
        self._data = data
        self._seen: list[Any] = []

    def _number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._data, self.place)
        self.place += struct.calcsize(form)
        return value

    def value(self, depth: int) -> Any:
        """The next value; its place among those that later ones refer to is taken before its parts are read."""
        if depth > _MAX_DEPTH:
            raise NotPlain("it is nested too deeply")
        byte = self._number("B")
        kind, is_kept = chr(byte & 0x7F), bool(byte & 0x80)
        if kind == "r":
            return self._seen[self._number("<I")]
        index = len(self._seen)
        if is_kept:
            self._seen.append(None)
        found = self._of(kind, depth)
        if is_kept:
            self._seen[index] = found
        return found

    def _of(self, kind: str, depth: int) -> Any:
        match kind:
            case "0" | "N" | "T" | "F":
                found = {"0": _NULL, "N": None, "T": True, "F": False}[kind]
            case "i":
                found = self._number("<i")
            case "g":
                found = self._number("<d")
            case "l":
                found = self._large()
            case "a" | "A" | "s" | "t" | "u":
                found = self._text(kind, self._number("<I"))
            case "z" | "Z":
                found = self._text(kind, self._number("B"))
            case "(":
                found = self._items(self._number("<I"), depth)
            case ")":
                found = self._items(self._number("B"), depth)
            case "{":
                found = self._mapping(depth)
            case _:
                raise NotPlain(f"kind '{kind}' at byte {self.place} is not read")
        return found

    def _large(self) -> int:
        """A number in digits of 15 bits, negative where their count is."""
        num_digits = self._number("<i")
        if abs(num_digits) > 8:
            raise NotPlain("a number is too large")
        digits = [self._number("<H") for _ in range(abs(num_digits))]
        value: int = sum(digit << (15 * place) for place, digit in enumerate(digits))
        return -value if num_digits < 0 else value

    def _text(self, kind: str, num_bytes: int) -> str:
        raw = self._data[self.place : self.place + num_bytes]
        if len(raw) < num_bytes:
            raise NotPlain("a text ends with the file")
        self.place += num_bytes
        return raw.decode("utf-8", "surrogatepass") if kind in "ut" else raw.decode("latin-1")

    def _items(self, num_items: int, depth: int) -> tuple[Any, ...]:
        if num_items > len(self._data):
            raise NotPlain("a tuple is longer than the file")
        return tuple(self.value(depth + 1) for _ in range(num_items))

    def _mapping(self, depth: int) -> dict[Any, Any]:
        found = {}
        while (key := self.value(depth + 1)) is not _NULL:
            found[key] = self.value(depth + 1)
        return found
