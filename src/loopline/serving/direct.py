"""The short way of `POST /predict`: from the bytes of its body to the bytes of its answer, without task or framework.

A framework makes a task of every request, asks each of its layers, and finds the route among all: half of what the
event loop spends on a picture, and more than a tiny network computes. The request that is asked most needs none of it:
its head is looked at, its body goes to the queue, and the queue calls back with what is to be said. Whatever is unusual
about a request (no length, a query, a client that asks before it sends) goes the framework's way, which says the same.
So that a server is ready before its framework is imported, whoever asks whether it is goes the short way, too.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from loopline.core.records import Record
from loopline.serving.frame import begin_request, count_request
from loopline.serving.inputs import TEXT, body_decoder, known_refusal
from loopline.serving.reading import JSON
from loopline.serving.refusals import Refusal, body_cut_off, body_too_slow, client_gone, unexpected
from loopline.serving.schemas import ALIVE, HealthAnswer
from loopline.serving.service import Given, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Scope
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from loopline.serving.batcher import Job
    from loopline.serving.gate import Door

_LOGGER = logging.getLogger(__name__)
_PREDICT = ("POST", "/predict")
_OF_A_BODY = {b"content-length", b"transfer-encoding"}


class Direct:
    """The short way of one application."""

    def __init__(self, service: Service, *, door: Door | None) -> None:
        """`door` decides about every request where there are keys; it is open to who asks for health."""
        self.service = service
        self._door = door
        # Where pages of other hosts may ask, their browsers go the framework's way.
        self._has_cors = bool(service.settings.cors_origin)
        # Texts come in lists, too, and take so long that the way to the engine does not count.
        self._predicts = service.predictor.bundle.input_kind != TEXT
        self._probes = {"/healthz": lambda: ALIVE, "/readyz": service.health}
        if service.settings.health_route is not None:
            self._probes[service.settings.health_route] = service.health
        # Requests on this way.
        self.num_open = 0

    def open(self, cycle: RequestResponseCycle) -> Exchange | None:
        """What takes the body of a request whose head has come; None where the framework answers it.

        What its head condemns is refused at once: for want of a key, of room, or of a model that is ready.
        """
        scope = cast("Scope", cycle.scope)
        method, path = scope["method"], scope["path"]
        probe = self._probes.get(path) if method == "GET" else None
        predicts = self._predicts and (method, path) == _PREDICT
        if not (predicts or probe) or scope["query_string"]:
            return None
        # Of two headers with one name, the first.
        headers = dict(reversed(list(scope["headers"])))
        if cycle.waiting_for_100_continue or cycle.flow.write_paused or (self._has_cors and b"origin" in headers):
            return None
        if probe is not None:
            return None if headers.keys() & _OF_A_BODY else self._asked(probe, cycle)
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or int(length) > self.service.settings.max_body_bytes:
            return None
        exchange = Exchange(self, cycle, headers.get(b"content-type", b"").decode("latin-1"))
        exchange.admit(self._door)
        return exchange

    def _asked(self, probe: Callable[[], HealthAnswer], cycle: RequestResponseCycle) -> Exchange:
        """A question for health, answered."""
        exchange = Exchange(self, cycle)
        try:
            exchange.end(probe())
        except Refusal as refused:
            exchange.end(refused)
        return exchange


class Exchange:
    """One request on the short way, from its head to its `end`."""

    def __init__(self, direct: Direct, cycle: RequestResponseCycle, content_type: str = "") -> None:
        """`cycle` is Uvicorn's, whose state this keeps as a task of Uvicorn's would."""
        self._direct = direct
        self._cycle = cycle
        self._content_type = content_type
        self._scope = cast("Scope", cycle.scope)
        self._request_id = begin_request(self._scope)
        self._chunks: list[bytes] = []
        # Counted against what the server holds in memory.
        self._num_bytes = 0
        self.wants_body = True
        self._is_ended = False
        self._job: Job | None = None
        direct.num_open += 1

    def admit(self, door: Door | None) -> None:
        """Ends it where its head condemns it."""
        refusal = None if door is None else door.refusal(self._scope)
        if refusal is not None:
            self.end(refusal)
            return
        try:
            self._direct.service.check(1)
        except Refusal as refused:
            self.end(refused)

    def add(self, chunk: bytes) -> None:
        """Takes a part of the body; a 429 where all bodies together are too large."""
        try:
            self._direct.service.pending.take(len(chunk))
        except Refusal as refused:
            self.end(refused)
            return
        self._num_bytes += len(chunk)
        self._chunks.append(chunk)

    def complete(self) -> None:
        """Has the body predicted, which is whole, once the loop has read what else has come: is it alone?"""
        self.wants_body = False
        asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        if self._is_ended:
            return
        service = self._direct.service
        body, self._chunks = b"".join(self._chunks), []
        started_s = self._scope["state"]["started_s"]
        try:
            decode = body_decoder(body, self._content_type, max_files=service.settings.max_batch_examples)
            job = service.begin(Given(self._request_id, started_s, decode, is_whole=True), self.end)
            # Unless it has ended already.
            self._job = None if self._is_ended else job
        except Exception as error:  # noqa: BLE001 - a refusal or a defect, which `end` tells apart
            self.end(error)

    def cut_off(self) -> None:
        """The connection has ended: nobody hears it, but it is counted as what it is, and nothing is predicted."""
        if self._is_ended:
            return
        if self._job is not None:
            self._job.is_abandoned = True
        self.end(body_cut_off() if self.wants_body else client_gone())

    def time_out(self) -> None:
        """The body did not come in time."""
        self.end(body_too_slow(self._direct.service.settings.request_timeout_s))

    def end(self, result: Record | Exception) -> None:
        """Says what came of it, and counts it; raises nothing."""
        self._is_ended, self.wants_body, self._job = True, False, None
        self._direct.num_open -= 1
        self._direct.service.pending.give_back(self._num_bytes)
        if isinstance(result, Exception):
            refusal = self._refusal_of(result)
            self._say(refusal.status, refusal.body(self._request_id).model_dump_json().encode(), refusal.headers)
        else:
            self._say(200, result.model_dump_json().encode(), {})

    def _refusal_of(self, error: Exception) -> Refusal:
        known = known_refusal(error, self._direct.service.predictor.bundle.input_kind)
        if known is not None:
            return known
        _LOGGER.error("request %s failed", self._request_id, exc_info=error)
        return unexpected()

    def _say(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        cycle = self._cycle
        cycle.response_started = cycle.response_complete = True
        cycle.keep_alive = cycle.keep_alive and not self._direct.service.is_last() and "Connection" not in headers
        count_request(self._direct.service.telemetry, self._scope, route=self._scope["path"], status=status)
        if not cycle.transport.is_closing():
            cycle.transport.write(self._head(status, len(body), headers))
            cycle.transport.write(body)
            if not cycle.keep_alive:
                cycle.transport.close()
        cycle.on_response()

    def _head(self, status: int, num_bytes: int, headers: Mapping[str, str]) -> bytes:
        text = f"content-type: {JSON}\r\ncontent-length: {num_bytes}\r\nx-request-id: {self._request_id}\r\n"
        for name, value in headers.items():
            text += f"{name.lower()}: {value}\r\n"
        if not self._cycle.keep_alive and "Connection" not in headers:
            text += "connection: close\r\n"
        usual = [part for name, value in self._cycle.default_headers for part in (name, b": ", value, b"\r\n")]
        return b"".join([STATUS_LINE[status], *usual, text.encode(), b"\r\n"])
