"""A request's body as the framework brings it: read within the limits of size, time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.requests import ClientDisconnect

from loopline.serving.reading import PendingBytes
from loopline.serving.refusals import body_cut_off, body_too_large, body_too_slow
from loopline.serving.settings import ServeSettings


@asynccontextmanager
async def body_of(request: Request, settings: ServeSettings, pending: PendingBytes) -> AsyncIterator[bytes]:
    """The whole body, within the limits of size, time and memory, which it counts against until the block ends."""
    held = _Held(pending)
    try:
        try:
            async with asyncio.timeout(settings.request_timeout_s):
                body = await _read(request, settings.max_body_bytes, held)
        except TimeoutError:
            raise body_too_slow(settings.request_timeout_s) from None
        except ClientDisconnect:
            # Nobody hears it, but it is counted as what it is.
            raise body_cut_off() from None
        yield body
    finally:
        held.give_back()


class _Held:
    """What one request counts against the bytes in work."""

    def __init__(self, pending: PendingBytes) -> None:
        self._pending = pending
        self._num_bytes = 0

    def take(self, num_bytes: int) -> None:
        self._pending.take(num_bytes)
        self._num_bytes += num_bytes

    def give_back(self) -> None:
        self._pending.give_back(self._num_bytes)


async def _read(request: Request, limit_bytes: int, held: _Held) -> bytes:
    """A body of at most so many bytes.

    A declared length over the limit is refused before anything is read. Where none is declared, what comes over the
    limit is thrown away, for a client that is still sending would not see the answer; but only as much again, and then
    the connection is closed on one that never ends.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise body_too_large(limit_bytes)
    chunks: list[bytes] = []
    num_bytes = 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes <= limit_bytes:
            held.take(len(chunk))
            chunks.append(chunk)
        elif num_bytes <= 2 * limit_bytes:
            chunks.clear()
        else:
            raise body_too_large(limit_bytes, close=True)
    if num_bytes > limit_bytes:
        raise body_too_large(limit_bytes)
    return b"".join(chunks)
