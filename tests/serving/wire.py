"""HTTP as bytes, to an application on a real port in the loop of a test."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from loopline.serving.app import app_behind
from loopline.serving.front import Front
from loopline.serving.late import LateApp
from loopline.serving.protocol import BoundedHttp

KIND = "multipart/form-data; boundary=a-boundary"


@dataclass(frozen=True)
class Said:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def lasting(self) -> tuple[int, set[str], dict[str, Any]]:
        """It without what differs from request to request."""
        kept = {key: part for key, part in self.body.items() if key not in ("request_id", "timings_ms")}
        return self.status, set(self.headers), kept


@dataclass
class Server:
    """An application on a real port, in this loop, behind what answers before it."""

    front: Front
    port: int
    log: Path
    # For each request that was looked at: whether it went the short way.
    is_direct: list[bool] = field(default_factory=list)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def ask(self, *requests: bytes) -> list[Said]:
        """Sends the requests one after the other without waiting, on one connection; their answers."""
        async with self.connected() as (reader, writer), asyncio.timeout(20):
            writer.writelines(requests)
            return [await answer(reader) for _ in requests]

    def metric(self, status: int) -> float:
        """How many predictions were answered so."""
        name = f'loopline_requests_total{{method="POST",route="/predict",status="{status}"}} '
        text = self.front.service.telemetry.text().decode()
        return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


Scenario = Callable[[Server], Coroutine[Any, Any, None]]


async def answer(reader: asyncio.StreamReader) -> Said:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:-2])
    body = json.loads(await reader.readexactly(int(headers["content-length"])))
    return Said(int(head[0].split()[1]), headers, body)


async def serve(front: Front, log: Path, scenario: Scenario, looked: list[bool]) -> None:
    """Calls `scenario(server)`; `looked` is its `is_direct`."""
    late = LateApp(lambda: app_behind(front))
    config = uvicorn.Config(late, log_config=None, access_log=False, server_header=False)
    config.load()
    state = ServerState()
    front.service.num_requests = lambda: len(state.tasks) + front.direct.num_open

    def protocol() -> BoundedHttp:
        return BoundedHttp(
            head_timeout_s=front.service.settings.request_timeout_s,
            on_lost=lambda: None,
            direct=front.direct,
            config=config,
            server_state=state,
            app_state={},
        )

    await front.start()
    try:
        listener = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        async with listener:
            await scenario(Server(front, listener.sockets[0].getsockname()[1], log, looked))
            # Nothing is left behind, whatever happened.
            await until(lambda: not state.tasks and not state.connections)
            assert (front.direct.num_open, front.service.pending.num_bytes) == (0, 0)
    finally:
        await front.close()


def request(body: bytes, *headers: str, path: str = "/predict", version: str = "1.1", kind: str = KIND) -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: here", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


async def until(condition: Callable[[], bool]) -> None:
    """Waits in a running loop, at most ten seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - other threads make it true
            await asyncio.sleep(0.002)
