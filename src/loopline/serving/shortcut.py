"""The shortest way to the route that is asked most, past the framework's own.

FastAPI finds a route among all, resolves the dependencies of its function and asks for tracers, whether there are any
or not: nearly half of what the event loop spends on a request. `POST /predict` has one address and takes the request
as it is, so it needs nothing of that; the framework keeps it for its description.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from loopline.core.errors import InvalidExample
from loopline.serving.refusals import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


_PATHS = ("/predict",)


class Shortcut:
    """ASGI middleware, the innermost: whatever stands before the routes stands before it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Sequence[BaseRoute],
        refused: Callable[[Request, Exception], Awaitable[Response]],
    ) -> None:
        """`routes` are those of the application; `refused` answers what their functions raise."""
        self._app = app
        self._routes = {route.path: route for route in routes if isinstance(route, APIRoute) and route.path in _PATHS}
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a POST to such a route; everything else passes."""
        route = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        # Where the metrics look for its name.
        scope["route"] = route
        request = Request(scope, receive, send)
        try:
            response = await route.endpoint(request)
        except (Refusal, InvalidExample) as error:
            response = await self._refused(request, error)
        await response(scope, receive, send)
