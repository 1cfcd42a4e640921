"""Who takes a connection: one that has no more than its siblings, at once; one that has more, after a while."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loopline.serving.accepting import Acceptor, Surplus, turn_away
from loopline.serving.workers import ALONE, Worker


@dataclass
class Taken:
    """Keeps what an acceptor hands over."""

    sockets: list[socket.socket] = field(default_factory=list)

    async def connect(self, accepted: socket.socket) -> None:
        self.sockets.append(accepted)


@asynccontextmanager
async def accepting(worker: Worker) -> AsyncIterator[tuple[Acceptor, Taken, tuple[str, int]]]:
    listener, taken = socket.create_server(("127.0.0.1", 0)), Taken()
    acceptor = Acceptor(listener, taken.connect, num_open=lambda: len(taken.sockets), worker=worker)
    address = listener.getsockname()
    acceptor.start()
    try:
        yield acceptor, taken, address
    finally:
        acceptor.close()
        for accepted in taken.sockets:
            accepted.close()


def of_two() -> Worker:
    return Worker(0, 2, Path(), memoryview(bytearray(8)).cast("i"))


async def until(taken: Taken, number: int) -> None:
    async with asyncio.timeout(10):
        while len(taken.sockets) < number:  # noqa: ASYNC110 - the system makes it true
            await asyncio.sleep(0.001)


def test_alone_it_takes_everything() -> None:
    async def scenario() -> None:
        async with accepting(ALONE) as (_, taken, address):
            clients = [socket.create_connection(address) for _ in range(5)]
            await until(taken, 5)
            for client in clients:
                client.close()

    asyncio.run(scenario())


def test_with_more_than_a_sibling_it_waits_and_takes_after_all() -> None:
    """A sibling that hangs keeps nobody waiting; the shared counts say what each has."""

    async def scenario() -> None:
        worker = of_two()
        assert worker.connections is not None
        async with accepting(worker) as (acceptor, taken, address):
            loop = asyncio.get_running_loop()
            clients = [socket.create_connection(address)]
            await until(taken, 1)
            assert list(worker.connections) == [1, 0]
            started_s = loop.time()
            clients.append(socket.create_connection(address))
            await until(taken, 2)
            assert loop.time() - started_s >= 0.004
            worker.connections[1] = 7
            clients.append(socket.create_connection(address))
            await until(taken, 3)
            taken.sockets.pop().close()
            assert acceptor.publish() == 2
            assert list(worker.connections) == [2, 7]
            for client in clients:
                client.close()

    asyncio.run(scenario())


def test_closing_takes_what_waits_already() -> None:
    """A client that is in the queue is not reset; one that comes later is refused."""

    async def scenario() -> None:
        worker = of_two()
        assert worker.connections is not None
        async with accepting(worker) as (acceptor, taken, address):
            clients = [socket.create_connection(address) for _ in range(3)]
            acceptor.close()
            await until(taken, 3)
            try:
                socket.create_connection(address).close()
            except ConnectionRefusedError:
                refused = True
            else:
                refused = False
            assert refused
            for client in clients:
                client.close()

    asyncio.run(scenario())


def test_who_has_too_many_lets_half_of_them_go() -> None:
    """Of nine and two, three go, once the difference was seen twice; a sibling that hangs gets none.

    Where many have two and one has none, each lets one go.
    """

    def num_taken(surplus: Surplus) -> int:
        return sum(surplus.takes() for _ in range(20))

    connections, heartbeats = memoryview(bytearray(12)).cast("i"), memoryview(bytearray(24)).cast("d")
    surplus = Surplus(Worker(0, 3, Path(), connections, heartbeats))
    connections[0], connections[1], connections[2] = 9, 2, 0
    heartbeats[0], heartbeats[1], heartbeats[2] = time.monotonic(), time.monotonic(), time.monotonic() - 5
    surplus.look()
    assert num_taken(surplus) == 0
    surplus.look()
    assert num_taken(surplus) == 3
    connections[1] = 8
    surplus.look()
    assert num_taken(surplus) == 0
    connections[0], connections[1], connections[2], heartbeats[2] = 2, 2, 0, time.monotonic()
    surplus.look()
    surplus.look()
    assert num_taken(surplus) == 1
    assert not Surplus(ALONE).takes()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's packet filter")
def test_who_comes_while_the_door_closes_is_refused_and_not_reset() -> None:
    """Whoever has begun is served, on as many bytes as it sends; whoever begins later finds nobody, a second later."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:
        address = listener.getsockname()
        with socket.create_connection(address) as early:
            turn_away(listener)
            late = pool.submit(socket.create_connection, address)
            accepted, _ = listener.accept()
            with accepted:
                early.sendall(b"a" * 10_000)
                assert accepted.recv(10_000, socket.MSG_WAITALL) == b"a" * 10_000
                listener.setblocking(False)
                with pytest.raises(BlockingIOError):
                    listener.accept()
                listener.close()
                with pytest.raises(ConnectionRefusedError):
                    late.result(timeout=10)
                accepted.sendall(b"b")
                assert early.recv(1) == b"b"
