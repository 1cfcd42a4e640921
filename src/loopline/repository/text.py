"""Bytes as text: UTF-8, with or without a byte-order mark, UTF-16, Latin-1; binary is no text."""

from __future__ import annotations

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 8192
_BLANKS = {ord(character): " " for character in "\n\t\f"}


def decode(data: bytes) -> str | None:
    """The text with `\\n` line ends, or None where the bytes are no text."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return _with_plain_ends(data.decode(encoding))
            except UnicodeDecodeError:
                return None
    if b"\0" in data[:_SAMPLE_BYTES]:
        return _decode_unmarked_utf16(data)
    try:
        return _with_plain_ends(data.decode("utf-8"))
    except UnicodeDecodeError:
        return _with_plain_ends(data.decode("latin-1"))


def _decode_unmarked_utf16(data: bytes) -> str | None:
    """Western text in UTF-16 has a zero in every other byte; anything else with zeros is binary."""
    sample = data[:_SAMPLE_BYTES]
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = sample[offset::2], sample[1 - offset :: 2]
        if zeros.count(0) > 0.9 * len(zeros) and others.count(0) == 0:
            try:
                text = _with_plain_ends(data.decode(encoding))
            except UnicodeDecodeError:
                return None
            return text if text.translate(_BLANKS).isprintable() else None
    return None


def _with_plain_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
