"""The shortest way to the route that is asked most, past the framework's own.

FastAPI passes layers of its own, finds a route among all, resolves the dependencies of its function and asks for
tracers, whether there are any or not: more than half of what the event loop spends on a request. `POST /predict` has
one address and takes the request as it is, so it needs nothing of that; the framework keeps it for its description.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from loopline.core.errors import InvalidExample
from loopline.serving.refusals import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


_PATHS = ("/predict",)
# A class of ASGI middleware, and what it takes beside the application that it surrounds.
Layer = tuple[Callable[..., "ASGIApp"], dict[str, Any]]


class Shortcut:
    """ASGI application of those routes; whatever `takes` refuses goes another way."""

    def __init__(
        self, *, routes: Sequence[BaseRoute], refused: Callable[[Request, Exception], Awaitable[Response]]
    ) -> None:
        """`routes` are those of the framework; `refused` answers what their functions raise."""
        self._routes = {route.path: route for route in routes if isinstance(route, APIRoute) and route.path in _PATHS}
        self._refused = refused

    def takes(self, scope: Scope) -> bool:
        """Whether it answers: a POST to such a route."""
        return scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what it takes."""
        route = self._routes[scope["path"]]
        # Where the metrics look for its name.
        scope["route"] = route
        request = Request(scope, receive, send)
        try:
            response = await route.endpoint(request)
        except (Refusal, InvalidExample) as error:
            response = await self._refused(request, error)
        await response(scope, receive, send)


class QuickFastAPI(FastAPI):
    """FastAPI with a shortcut that passes it by; both stand behind the same layers."""

    _shortcut: Shortcut | None = None

    def surround(self, layers: Sequence[Layer], *, shortcut: Shortcut) -> None:
        """Puts the shortcut and the framework behind the layers, the innermost first; call it once."""
        entry: ASGIApp = shortcut
        for kind, options in layers:
            self.add_middleware(kind, **options)
            entry = kind(entry, **options)
        self._shortcut, self._entry = shortcut, entry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request by either way."""
        if self._shortcut is None or not self._shortcut.takes(scope):
            await super().__call__(scope, receive, send)
            return
        # As the framework does.
        scope["app"] = self
        await self._entry(scope, receive, send)
