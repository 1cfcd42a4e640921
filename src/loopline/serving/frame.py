"""What surrounds every request: an id, a count, a line in the access log, and an end for the unexpected."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from typing import TYPE_CHECKING

from loopline.serving.gate import send_refusal
from loopline.serving.refusals import unexpected

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from loopline.serving.telemetry import Telemetry

ACCESS_LOGGER = "loopline.serving.access"

_LOGGER = logging.getLogger(__name__)
_ACCESS = logging.getLogger(ACCESS_LOGGER)
_HEADER = b"x-request-id"
# What may go into a log and a header as it came; anything else is replaced by an id of ours.
_ACCEPTED_ID = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")
# Callers may invent methods; a metric's labels may not grow with them.
_METHODS = {"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}


class RequestFrame:
    """ASGI middleware; routes find what `begin_request` puts into the request's state."""

    def __init__(self, app: ASGIApp, *, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Frames one HTTP request; other events pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = begin_request(scope)
        status = 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", []), (_HEADER, request_id.encode())]
                if scope["app"].state.service.is_last():
                    # So that no client sends its next request into a connection that is about to close.
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, counted)
        except Exception:
            # A defect of ours: its traceback goes to the server's log, the id to the caller.
            _LOGGER.exception("request %s failed", request_id)
            if status:
                raise
            await send_refusal(unexpected(), request_id, counted)
        finally:
            route = getattr(scope.get("route"), "path_format", "other")
            count_request(self._telemetry, scope, route=route, status=status)


def begin_request(scope: Scope) -> str:
    """Puts `request_id` and `started_s` (of `time.perf_counter`) into a request's state; returns the id."""
    given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
    request_id = str(given.decode()) if _ACCEPTED_ID.fullmatch(given) else secrets.token_hex(16)
    scope.setdefault("state", {}).update(request_id=request_id, started_s=time.perf_counter())
    return request_id


def count_request(telemetry: Telemetry, scope: Scope, *, route: str, status: int) -> None:
    """Counts a request that was begun and has its answer, and writes its line into the access log."""
    method = scope["method"] if scope["method"] in _METHODS else "other"
    telemetry.requests.labels(route, method, str(status)).inc()
    if _ACCESS.isEnabledFor(logging.INFO):
        state = scope["state"]
        line = {
            "request_id": state["request_id"],
            "method": method,
            "route": route,
            "status": status,
            "ms": round(1000 * (time.perf_counter() - state["started_s"]), 2),
        }
        if "key" in state:
            line["key"] = state["key"]
        _ACCESS.info(json.dumps(line))
