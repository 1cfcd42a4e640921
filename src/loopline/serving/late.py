"""The framework's application, made when the server answers already: importing a framework takes a third of a start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class LateApp:
    """An ASGI application whose requests wait until another one is made, and then go to that."""

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        """`make` imports and builds; it runs once, in a thread."""
        self._make = make
        self._making: asyncio.Task[ASGIApp] | None = None

    def begin(self) -> asyncio.Task[ASGIApp]:
        """Begins to make it, unless it has begun; call it inside the running loop."""
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(self._make))
        return self._making

    def check(self) -> None:
        """Raises what making it raised: a server without half of its routes had better not run."""
        if self._making is not None and self._making.done():
            self._making.result()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        # A request that is given up takes nobody else's application with it.
        app = await asyncio.shield(self.begin())
        await app(scope, receive, send)
