"""What surrounds every request: an id, limits on its body, a count of how it ended, and an end for the unexpected."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from typing import TYPE_CHECKING

from loopline.serving.refusals import Refusal, body_too_large, body_too_slow

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from loopline.serving.settings import ServeSettings
    from loopline.serving.telemetry import Telemetry

_LOGGER = logging.getLogger(__name__)
_HEADER = b"x-request-id"
# What may go into a log and a header as it came; anything else is replaced by an id of ours.
_ACCEPTED_ID = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")
# Callers may invent methods; a metric's labels may not grow with them.
_METHODS = {"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}


class RequestFrame:
    """ASGI middleware; routes find `request_id` and `started_s` in the request's state."""

    def __init__(self, app: ASGIApp, *, telemetry: Telemetry, settings: ServeSettings) -> None:
        self._app = app
        self._telemetry = telemetry
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Frames one HTTP request; other events pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {}).update(request_id=request_id, started_s=time.perf_counter())
        has_started = False

        async def counted(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                message["headers"] = [*message.get("headers", []), (_HEADER, request_id.encode())]
                self._count(scope, message["status"])
            await send(message)

        try:
            await self._app(scope, self._limited(scope, receive), counted)
        except Exception:
            # A defect of ours: its traceback goes to the server's log, the id to the caller.
            _LOGGER.exception("request %s failed", request_id)
            if has_started:
                raise
            await _send(_unexpected(request_id), counted)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """Receives a body within the limits of size and time; counts what comes, for a declared length may lie."""
        num_received = 0
        is_complete = False

        async def limited() -> Message:
            nonlocal num_received, is_complete
            if is_complete:
                return await receive()
            rest_s = scope["state"]["started_s"] + self._settings.request_timeout_s - time.perf_counter()
            try:
                message = await asyncio.wait_for(receive(), max(rest_s, 0.001))
            except TimeoutError:
                raise body_too_slow(self._settings.request_timeout_s) from None
            num_received += len(message.get("body", b""))
            if num_received > self._settings.max_body_bytes:
                raise body_too_large(self._settings.max_body_bytes)
            is_complete = not message.get("more_body", False)
            return message

        return limited

    def _count(self, scope: Scope, status: int) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._telemetry.requests.labels(route, method, str(status)).inc()


def _unexpected(request_id: str) -> Message:
    refusal = Refusal(
        500, "unexpected", "the server has a defect; the request's id finds it in the server's log.",
        next_step="report it with the request id",
    )  # fmt: skip
    return {"type": "http.response.body", "body": refusal.body(request_id).model_dump_json().encode()}


async def _send(body: Message, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body["body"])).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send(body)


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
    return str(given.decode()) if _ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex
