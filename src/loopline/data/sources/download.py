"""Downloading over HTTPS without ever hanging: what stalls is given up, in whichever call it stalls."""

from __future__ import annotations

import http.client
import queue
import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from loopline import __version__

_PIECE_BYTES = 1 << 18


class Unreachable(Exception):
    """A server could not be reached, refused, or fell silent; the message names it."""


def download(url: str, *, stall_s: float) -> bytes:
    """The body behind a URL; raises `Unreachable` once nothing has arrived for `stall_s`.

    In a thread of its own, because looking up a name knows no time limit; one that still hangs ends with the process.
    """
    pieces: queue.Queue[bytes | Exception] = queue.Queue()
    threading.Thread(target=_read, args=(url, stall_s, pieces), daemon=True).start()
    body = bytearray()
    while True:
        try:
            piece = pieces.get(timeout=stall_s)
        except queue.Empty:
            raise Unreachable(f"{urlsplit(url).hostname} sent nothing for {stall_s:g} s") from None
        if isinstance(piece, Exception):
            reason = getattr(piece, "reason", None) or piece
            raise Unreachable(f"{urlsplit(url).hostname} not reached ({reason})") from piece
        if not piece:
            return bytes(body)
        body += piece


def _read(url: str, timeout_s: float, pieces: queue.Queue[bytes | Exception]) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": f"loopline/{__version__}"})  # noqa: S310 - our own URLs
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310
            while piece := response.read(_PIECE_BYTES):
                pieces.put(piece)
            pieces.put(b"")
    except (OSError, http.client.HTTPException, ValueError) as error:
        pieces.put(error)
