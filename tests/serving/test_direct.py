"""The short way says what the framework would say, and takes nothing that it cannot end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from PIL.Image import Image
from tests.serving.wire import KIND, Server, answer, request, until

from loopline.core.errors import InvalidExample
from loopline.prediction_log import open_log
from loopline.serving.keys import make_key
from loopline.serving.service import Given

BodyOf = Callable[..., bytes]


def test_both_ways_say_the_same(run: Any, body_of: BodyOf, picture: bytes) -> None:
    """Status, headers and body, of what is right and of what is wrong; a query makes the framework answer."""
    as_json = json.dumps({"image": "no base64"}).encode()
    asked = [
        (body_of(picture), KIND, 200),
        (body_of(b"no picture"), KIND, 422),
        (body_of(picture, name="wrong"), KIND, 422),
        (b"no form", KIND, 400),
        (b"", KIND, 422),
        (as_json, "application/json", 422),
        (picture, "image/png", 415),
    ]

    async def scenario(server: Server) -> None:
        for body, kind, status in asked:
            (short,) = await server.ask(request(body, kind=kind))
            (long,) = await server.ask(request(body, kind=kind, path="/predict?long"))
            assert short.status == status
            assert short.lasting == long.lasting
            assert short.body["request_id"] == short.headers["x-request-id"]
        assert server.is_direct == [True, False] * len(asked)
        assert server.metric(200) == 2

    run(scenario)


def test_an_id_of_the_callers_is_kept_and_the_answer_is_in_the_log(run: Any, body_of: BodyOf, picture: bytes) -> None:
    async def scenario(server: Server) -> None:
        (said,) = await server.ask(request(body_of(picture), "X-Request-ID: mine"))
        assert (said.body["request_id"], said.headers["x-request-id"]) == ("mine", "mine")
        server.front.service.writer.flush()
        with open_log(server.log) as log:
            assert [row.request_id for row in log.read()] == ["mine"]

    run(scenario)


@pytest.mark.parametrize(
    ("headers", "options"),
    [(["Expect: 100-continue"], {}), (["Origin: https://example.org"], {"cors_origin": ["https://example.org"]})],
)
def test_what_is_unusual_goes_to_the_framework(
    run: Any, body_of: BodyOf, picture: bytes, headers: list[str], options: dict[str, Any]
) -> None:
    """A client that asks before it sends, and a browser's page of another origin."""

    async def scenario(server: Server) -> None:
        async with server.connected() as (reader, writer):
            writer.write(request(body_of(picture), *headers))
            if "Expect: 100-continue" in headers:
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            said = await answer(reader)
        assert (said.status, server.is_direct) == (200, [False])
        assert ("access-control-allow-origin" in said.headers) == bool(options)
        (plain,) = await server.ask(request(body_of(picture)))
        assert (plain.status, server.is_direct) == (200, [False, True])

    run(scenario, **options)


def test_a_body_in_pieces_is_one_body(run: Any, body_of: BodyOf, picture: bytes) -> None:
    async def scenario(server: Server) -> None:
        sent = request(body_of(picture))
        async with server.connected() as (reader, writer):
            for start in range(0, len(sent), 97):
                writer.write(sent[start : start + 97])
                await writer.drain()
                await asyncio.sleep(0.001)
            assert (await answer(reader)).status == 200

    run(scenario)


def test_requests_that_do_not_wait_are_answered_in_their_order(run: Any, body_of: BodyOf, picture: bytes) -> None:
    """Five at once on one connection, the last of them in two pieces; then the connection goes on."""

    async def scenario(server: Server) -> None:
        many = [request(body_of(picture), f"X-Request-ID: r{index}") for index in range(5)]
        async with server.connected() as (reader, writer), asyncio.timeout(20):
            writer.write(b"".join(many)[:-60])
            said = [await answer(reader) for _ in range(4)]
            writer.write(many[-1][-60:] + request(body_of(picture), "X-Request-ID: r5"))
            said += [await answer(reader) for _ in range(2)]
        assert [each.body["request_id"] for each in said] == [f"r{index}" for index in range(6)]
        assert {each.status for each in said} == {200}

    run(scenario)


@pytest.mark.parametrize(
    ("version", "headers", "is_last"), [("1.0", [], False), ("1.1", ["Connection: close"], False), ("1.1", [], True)]
)
def test_a_connection_that_is_to_end_ends(
    run: Any, body_of: BodyOf, picture: bytes, version: str, headers: list[str], is_last: bool
) -> None:
    """By the client's wish, or by the server's, which stops or has too many."""

    async def scenario(server: Server) -> None:
        server.front.service.is_last = lambda: is_last
        async with server.connected() as (reader, writer), asyncio.timeout(10):
            writer.write(request(body_of(picture), *headers, version=version))
            said = await answer(reader)
            assert (said.status, said.headers["connection"]) == (200, "close")
            assert await reader.read() == b""

    run(scenario)


def test_a_key_is_asked_for_and_its_rate_counted_once(run: Any, body_of: BodyOf, picture: bytes) -> None:
    """One request may always come; the second must wait."""
    key, entry = make_key("alice")

    async def scenario(server: Server) -> None:
        with_key = request(body_of(picture), f"Authorization: Bearer {key}")
        (without,) = await server.ask(request(body_of(picture)))
        assert (without.status, without.body["error"]["code"]) == (401, "no_key")
        assert without.headers["www-authenticate"] == "Bearer"
        (passed,) = await server.ask(with_key)
        (refused,) = await server.ask(with_key)
        assert (passed.status, refused.status) == (200, 429)
        assert int(refused.headers["retry-after"]) > 500
        assert server.is_direct == [True] * 3

    run(scenario, api_key=(str(entry),), rate_limit_per_s=0.001)


@pytest.mark.parametrize("path", ["/predict", "/predict?long"])
def test_a_body_that_nobody_wants_must_end_too(run: Any, path: str) -> None:
    """Refused for want of a key, a client that goes on sending bytes one by one is cut off."""
    _, entry = make_key("alice")

    async def scenario(server: Server) -> None:
        async with server.connected() as (reader, writer), asyncio.timeout(10):
            writer.write(request(bytes(9_000), path=path)[:500])
            assert (await answer(reader)).status == 401
            end = asyncio.create_task(reader.read())
            while not end.done():
                writer.write(b"x")
                await asyncio.sleep(0.02)
            with contextlib.suppress(ConnectionError):
                assert await end == b""

    run(scenario, api_key=(str(entry),), request_timeout_s=0.3)


def test_a_server_that_is_full_refuses_by_the_head(run: Any, body_of: BodyOf, picture: bytes, breakable: Any) -> None:
    """With one example in work and room for one, the next is refused before its body comes; the first is answered."""

    async def scenario(server: Server) -> None:
        breakable.may_go_on.clear()
        first = asyncio.create_task(server.ask(request(body_of(picture))))
        await until(lambda: len(breakable.batch_sizes) == 1)
        async with server.connected() as (reader, writer), asyncio.timeout(10):
            whole = request(body_of(picture))
            writer.write(whole[:200])
            said = await answer(reader)
            assert (said.status, said.body["error"]["code"]) == (429, "queue_full")
            # What comes of the body is thrown away, and the connection goes on.
            breakable.may_go_on.set()
            assert (await first)[0].status == 200
            writer.write(whole[200:] + whole)
            assert (await answer(reader)).status == 200

    run(scenario, breakable, max_queue_size=1, max_batch_examples=1)


def test_bodies_in_work_are_bounded(run: Any, body_of: BodyOf, picture: bytes) -> None:
    """A body counts as it comes, not as it is announced."""

    async def scenario(server: Server) -> None:
        large = request(bytes(9_000))
        async with server.connected() as (reader, writer), server.connected() as (_, other), asyncio.timeout(10):
            other.write(large[:6_000])
            await until(lambda: server.front.service.pending.num_bytes > 5_000)
            writer.write(large)
            said = await answer(reader)
            assert (said.status, said.body["error"]["code"]) == (429, "memory_full")
            writer.write(request(body_of(picture)))
            assert (await answer(reader)).status == 200

    run(scenario, max_body_bytes=10_000, max_pending_bytes=10_000)


def test_who_goes_away_is_counted_and_not_predicted(run: Any, body_of: BodyOf, picture: bytes, breakable: Any) -> None:
    """Once before the body is whole, once while it waits for the engine."""

    async def scenario(server: Server) -> None:
        whole = request(body_of(picture))
        async with server.connected() as (_, writer):
            writer.write(whole[:-10])
            await until(lambda: server.front.direct.num_open == 1)
        await until(lambda: server.metric(400) == 1)
        breakable.may_go_on.clear()
        first = asyncio.create_task(server.ask(whole))
        await until(lambda: len(breakable.batch_sizes) == 1)
        async with server.connected() as (_, writer):
            writer.write(whole)
            await until(lambda: server.front.service.champion.current.batcher.num_admitted == 2)
        await until(lambda: server.metric(499) == 1)
        breakable.may_go_on.set()
        assert (await first)[0].status == 200
        await until(lambda: server.front.service.champion.current.batcher.num_admitted == 0)
        assert breakable.batch_sizes == [1]

    run(scenario, breakable)


def test_an_engine_that_hangs_is_a_504(run: Any, body_of: BodyOf, picture: bytes, breakable: Any) -> None:
    async def scenario(server: Server) -> None:
        breakable.may_go_on.clear()
        started_s = time.monotonic()
        (said,) = await server.ask(request(body_of(picture)))
        assert (said.status, said.body["error"]["code"]) == (504, "timed_out")
        assert 0.2 <= time.monotonic() - started_s < 5
        breakable.may_go_on.set()
        await until(lambda: server.front.service.champion.current.batcher.num_admitted == 0)

    run(scenario, breakable, request_timeout_s=0.3)


def test_a_defect_is_a_500_with_the_id(
    run: Any, body_of: BodyOf, picture: bytes, breakable: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback stands in the server's log under the id that the caller got; the server lives."""

    async def scenario(server: Server) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(breakable, "decode", lambda _raw: 1 / 0)
            (said,) = await server.ask(request(body_of(picture)))
        assert (said.status, said.body["error"]["code"]) == (500, "unexpected")
        assert f"request {said.body['request_id']} failed" in caplog.text
        assert "ZeroDivisionError" in caplog.text
        (said,) = await server.ask(request(body_of(picture)))
        assert said.status == 200

    run(scenario, breakable)


def test_a_refused_request_leaves_nothing_to_the_collector(run: Any, body_of: BodyOf, picture: bytes) -> None:
    """Its body and its picture go with the answer."""

    def num_held() -> int:
        return sum(issubclass(type(each), InvalidExample | Given | Image) for each in gc.get_objects())

    async def scenario(server: Server) -> None:
        bad = request(body_of(picture[:-100]))
        await server.ask(bad)
        gc.collect()
        num_before = num_held()
        gc.disable()
        try:
            assert [each.status for each in await server.ask(bad, bad, bad)] == [422] * 3
            assert [each.status for each in await server.ask(request(body_of(picture)))] == [200]
            await until(lambda: num_held() <= num_before)
        finally:
            gc.enable()

    run(scenario, num_decode_threads=0)
