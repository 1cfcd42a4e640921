"""What answers before the framework: probes and predictions, while everything else waits until it is made."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from tests.serving.wire import Server, answer, request, until

from loopline.predictor import PredictorLike
from loopline.serving.app import app_behind
from loopline.serving.front import Front
from loopline.serving.keys import make_key
from loopline.serving.late import LateApp

BodyOf = Callable[..., bytes]


def probe(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: here", *headers, "", ""]).encode()


@pytest.mark.parametrize("is_broken", [False, True])
def test_both_ways_say_the_same_of_health(run: Any, breakable: Any, is_broken: bool) -> None:
    """Alive, ready or not, by the usual paths and by the platform's; a query makes the framework answer."""
    breakable.is_broken = is_broken
    paths = ["/healthz", "/readyz", "/platform"]
    statuses = [200, 503, 503] if is_broken else [200, 200, 200]

    async def scenario(server: Server) -> None:
        for path, status in zip(paths, statuses, strict=True):
            short, long = await server.ask(probe(path), probe(f"{path}?long"))
            assert short.status == status
            assert short.lasting == long.lasting
        assert server.is_direct == [True, False] * 3
        said = server.front.service.telemetry.text().decode()
        for path, status in zip(paths, statuses, strict=True):
            assert f'loopline_requests_total{{method="GET",route="{path}",status="{status}"}} 2.0' in said

    run(scenario, breakable, health_route="/platform")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (probe("/readyz", "Content-Length: 2") + b"{}", 200),
        (probe("/readyz", method="DELETE"), 405),
        (probe("/ready"), 404),
    ],
)
def test_what_is_no_plain_question_goes_to_the_framework(run: Any, asked: bytes, status: int) -> None:
    """A body that nobody reads, another method, another path; the connection goes on after each."""

    async def scenario(server: Server) -> None:
        async with server.connected() as (reader, writer), asyncio.timeout(20):
            writer.write(asked)
            assert (await answer(reader)).status == status
            writer.write(probe("/readyz"))
            assert (await answer(reader)).status == 200
        assert server.is_direct == [False, True]

    run(scenario)


def test_who_asks_for_health_needs_no_key(run: Any) -> None:
    _, entry = make_key("alice")

    async def scenario(server: Server) -> None:
        (ready, model) = await server.ask(probe("/readyz"), probe("/model"))
        assert (ready.status, model.status) == (200, 401)

    run(scenario, api_key=[str(entry)])


def test_texts_go_to_the_framework_and_their_probes_do_not(run: Any, shouter: PredictorLike) -> None:
    async def scenario(server: Server) -> None:
        ready, said = await server.ask(probe("/readyz"), request(b'{"text": "ein hund"}', kind="application/json"))
        assert (ready.status, said.body["text"]) == (200, "EIN HUND")
        assert server.is_direct == [True, False]

    run(scenario, shouter)


def test_predictions_do_not_wait_for_the_framework(
    run: Any, body_of: BodyOf, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What needs it waits until it is made, and is answered then; one that goes away takes nothing with it."""
    may_go_on = threading.Event()

    def slow(front: Front) -> Any:
        assert may_go_on.wait(10)
        return app_behind(front)

    monkeypatch.setattr("tests.serving.wire.app_behind", slow)

    async def scenario(server: Server) -> None:
        async with server.connected() as (_, writer):
            writer.write(probe("/model"))
            await until(lambda: server.is_direct == [False])
        async with server.connected() as (reader, writer), asyncio.timeout(20):
            writer.write(probe("/model"))
            await until(lambda: server.is_direct == [False, False])
            ready, predicted = await server.ask(probe("/readyz"), request(body_of(picture)))
            assert (ready.status, predicted.status) == (200, 200)
            may_go_on.set()
            assert (await answer(reader)).body["model"] == "shapes"

    run(scenario)


def test_a_framework_that_cannot_be_made_is_no_secret() -> None:
    """Whoever asks whether all is well hears of it, before and after a request did."""

    def make() -> Any:
        raise ImportError("no framework")

    async def scenario() -> None:
        late = LateApp(make)
        late.check()
        making = late.begin()
        assert late.begin() is making
        await until(making.done)
        with pytest.raises(ImportError, match="no framework"):
            late.check()
        with pytest.raises(ImportError, match="no framework"):
            await late({}, _nothing, _nothing)

    asyncio.run(scenario())


async def _nothing(*_: Any) -> Any:
    """Neither receives nor sends."""


def test_an_application_is_made_once() -> None:
    """Two requests at the same time, one application, which gets both."""
    made: list[int] = []
    got: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        got.append(scope["path"])

    def make() -> Any:
        made.append(threading.get_ident())
        return app

    async def scenario() -> None:
        late = LateApp(make)
        await asyncio.gather(*(late({"path": path}, _nothing, _nothing) for path in ("/a", "/b")))

    asyncio.run(scenario())
    assert sorted(got) == ["/a", "/b"]
    assert len(made) == 1
    assert made[0] != threading.get_ident()
