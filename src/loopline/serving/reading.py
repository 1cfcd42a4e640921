"""A request's body: read within the limits, and JSON that holds what was asked for and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from loopline.serving.refusals import body_cut_off, body_too_large, body_too_slow, invalid, memory_full, wrong_type
from loopline.serving.settings import ServeSettings

B = TypeVar("B", bound=BaseModel)

MULTIPART, JSON = "multipart/form-data", "application/json"
# A parsed number or list costs many times its text, and parsing holds up every other thread: JSON is for small arrays.
# 400×400 pixels in three channels pass.
MAX_JSON_VALUES = 500_000
# Browsers and proxies pass on little more of an address.
MAX_URL_BYTES = 8_000


class PendingBytes:
    """How many bytes of bodies are in work; what a server holds in memory is bounded, however many ask at once."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.num_bytes = 0

    def take(self, num_bytes: int) -> None:
        """Counts more; raises a 429 where they would be too many."""
        if self.num_bytes + num_bytes > self._max_bytes:
            raise memory_full(self._max_bytes)
        self.num_bytes += num_bytes

    def give_back(self, num_bytes: int) -> None:
        """Counts as many less."""
        self.num_bytes -= num_bytes


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


def read_json(body: bytes, content_type: str, kind: type[B]) -> B:
    """A JSON body as `kind`; raises a 415 for another type and a 422 that names each wrong field."""
    given = media_type(content_type)
    if given != JSON:
        raise wrong_type(given, JSON)
    return parse_json(body, kind)


def media_type(content_type: str) -> str:
    """The header's value without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def parse_json(body: bytes, kind: type[B]) -> B:
    """A body as `kind`; raises a 422 that names each wrong field."""
    # Every value but the first of its list or object follows a comma, every list a bracket: counting costs nothing.
    if body.count(b",") + body.count(b"[") > MAX_JSON_VALUES:
        raise invalid(f"the body holds more than {MAX_JSON_VALUES:,} values, which is the limit.")
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise invalid("the body is nested too deeply; expected an object.", code="invalid_json") from None
    except ValueError as error:
        raise invalid(f"the body is not JSON: {error}.", code="invalid_json") from None
    if b"\\u" in body and not _is_text(value):
        raise invalid("the body holds half of a surrogate pair, which is no character.", code="invalid_json")
    if not isinstance(value, dict):
        fields = ", ".join(kind.model_fields)
        raise invalid(f"the body is a JSON {type(value).__name__}; expected an object with {fields}.")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problems = [_problem(item["type"], item["loc"], item["msg"], kind) for item in error.errors()]
        raise invalid("; ".join(problems) + ".") from None


def _is_text(value: Any) -> bool:
    """False where a text of the value holds what no encoding can: an escape may spell half of a character."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _problem(problem: str, loc: tuple[int | str, ...], message: str, kind: type[BaseModel]) -> str:
    """One problem in words; what was given stays out of it, for it may be long or private."""
    place = ".".join(map(str, loc))[:100]
    if problem == "extra_forbidden":
        return f"unknown field '{place}' given; expected {', '.join(kind.model_fields)}"
    if problem == "missing":
        return f"field '{place}' is missing"
    message = message.removeprefix("Value error, ")
    return f"field '{place}': {message[0].lower()}{message[1:]}" if place else message
