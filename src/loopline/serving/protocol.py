"""HTTP with an end: a head that is too long or comes too slowly is refused, as is a body that is mostly not body.

Uvicorn reads a head of any length and waits for it for ever; the routes only see requests whose head is complete.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from loopline.serving.direct import Direct, Exchange
from loopline.serving.refusals import Refusal, head_too_large, head_too_slow, no_http

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

# Of one request beside its body: line, headers, the sizes of chunks, trailers. More than the most that is read at once,
# which may hold several requests.
MAX_OVERHEAD_BYTES = 512 * 1024


class _InOnePiece:
    """A transport that sends an answer's head with its body: one call of the system, and the client wakes once.

    What comes first is held until more comes, or until the loop's next turn.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._held = data
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class BoundedHttp(HttpToolsProtocol):
    """Uvicorn's own protocol, within limits."""

    def __init__(
        self,
        *,
        head_timeout_s: float,
        on_lost: Callable[[], object],
        direct: Direct,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        """`on_lost` is called when the connection is gone; the last three are what Uvicorn gives its protocols.

        What `direct` opens is answered without the application; `head_timeout_s` is for the body of that, too.
        """
        super().__init__(config, server_state, app_state)
        self._head_timeout_s = head_timeout_s
        self._on_lost = on_lost
        self._direct = direct
        # The last that was opened.
        self._exchange: Exchange | None = None
        # Of the loop's clock, since when a head, its body or the rest of one is waited for; None while none is.
        self._since_s: float | None = None
        # Of the connection, and of the request that is being read.
        self._num_delivered_bytes = 0
        self._num_body_bytes = 0
        self._num_overhead_bytes = 0
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as Uvicorn's
        """Begins to wait for the first head."""
        super().connection_made(_InOnePiece(transport, self.loop))  # type: ignore[arg-type] # as good as one
        self._since_s = self.loop.time()
        self._patience = self.loop.call_later(self._head_timeout_s, self._check_patience)

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no more."""
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)
        if self._exchange is not None:
            self._exchange.cut_off()
            self._exchange = None
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        """Refuses what goes on and on."""
        num_delivered_bytes = self._num_delivered_bytes
        super().data_received(data)
        self._num_overhead_bytes += len(data) - (self._num_delivered_bytes - num_delivered_bytes)
        # Chunks of one byte each are overhead, too: an honest client needs less than there is body.
        if self._num_overhead_bytes > MAX_OVERHEAD_BYTES + self._num_body_bytes:
            self._refuse(head_too_large(MAX_OVERHEAD_BYTES))

    def on_message_begin(self) -> None:
        """Counts anew."""
        super().on_message_begin()
        self._since_s = self.loop.time()
        self._num_body_bytes = self._num_overhead_bytes = 0

    def on_headers_complete(self) -> None:
        """From here on the routes watch the time, unless no route is asked."""
        self._since_s = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Counts what is body."""
        self._num_delivered_bytes += len(body)
        self._num_body_bytes += len(body)
        if self._exchange is not None and self._exchange.wants_body:
            self._exchange.add(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Has the body answered that was waited for."""
        self._since_s = None
        super().on_message_complete()
        if self._exchange is not None and self._exchange.wants_body:
            self._exchange.complete()

    def on_response_complete(self) -> None:
        """What comes of a body after its answer is thrown away; that has its time, too."""
        super().on_response_complete()
        if self._is_throwing_away():
            self._since_s = self.loop.time()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # What had to wait for the request before it may have its body already, or a part of it.
        is_new = cycle is self.cycle and cycle.more_body and not cycle.body
        exchange = self._direct.open(cycle) if is_new else None
        if exchange is None:
            super()._start_asgi_task(cycle, app)
        elif not cycle.response_complete:
            self._exchange, self._since_s = exchange, self.loop.time()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused in the shape of every refusal."""
        self._refuse(no_http())

    def _check_patience(self) -> None:
        """Once per time-out and not per request: a timer of each would cost more than the rest of this class."""
        rest_s = self._head_timeout_s
        if self._since_s is not None:
            rest_s -= self.loop.time() - self._since_s
        if rest_s > 0:
            self._patience = self.loop.call_later(rest_s, self._check_patience)
        elif self._exchange is not None and self._exchange.wants_body:
            self._exchange.time_out()
        elif self._is_throwing_away():
            self.transport.close()
        else:
            self._refuse(head_too_slow(self._head_timeout_s))

    def _is_throwing_away(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete and self.cycle.more_body

    def _refuse(self, refusal: Refusal) -> None:
        if self.transport.is_closing():
            return
        request_id = secrets.token_hex(16)
        body = refusal.body(request_id).model_dump_json().encode()
        head = (
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nx-request-id: {request_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[refusal.status] + head.encode() + body)
        self.transport.close()
