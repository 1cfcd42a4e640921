"""The gate before the routes: whose key a request brings, and whether that key may ask already again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from loopline.serving.keys import ApiKeys
from loopline.serving.rate_limit import RateLimit
from loopline.serving.refusals import Refusal, no_key, too_often

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

# Probes have no keys; the pages hold nothing but what asks for one.
_OPEN = {"/", "/healthz", "/readyz", "/docs", "/ui"}
_OPEN_FOLDER = "/ui/"


class Door:
    """Decides who may pass."""

    def __init__(self, keys: ApiKeys, limit: RateLimit | None) -> None:
        self._keys = keys
        self._limit = limit

    def refusal(self, scope: Scope) -> Refusal | None:
        """Why a request may not pass; asked once for each, for the key's rate counts it. Names the key in its state."""
        index = self._keys.holder(_key_of(scope))
        if index is None:
            return no_key()
        scope["state"]["key"] = self._keys.names[index]
        wait_s = 0.0 if self._limit is None else self._limit.wait_s(index)
        return too_often(math.ceil(wait_s)) if wait_s else None


class Gate:
    """ASGI middleware inside the request frame; the frame's log finds the key's name in the request's state."""

    def __init__(self, app: ASGIApp, *, door: Door, health_route: str | None) -> None:
        self._app = app
        self._door = door
        self._open = {*_OPEN, health_route}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request pass, or refuses it before its body is read."""
        if scope["type"] == "http" and not self._is_open(scope["path"]):
            refusal = self._door.refusal(scope)
            if refusal is not None:
                await send_refusal(refusal, scope["state"]["request_id"], send)
                return
        await self._app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return path in self._open or path.startswith(_OPEN_FOLDER)


async def send_refusal(refusal: Refusal, request_id: str, send: Send) -> None:
    """Answers a request with a refusal, outside of the framework's own handlers."""
    body = refusal.body(request_id).model_dump_json().encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **refusal.headers}
    raw_headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw_headers})
    await send({"type": "http.response.body", "body": body})


def _key_of(scope: Scope) -> bytes:
    """`Authorization: Bearer KEY`, or `X-API-Key: KEY`; empty where there is none."""
    given = b""
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            return bytes(value)
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            given = bytes(value[7:].strip())
    return given
