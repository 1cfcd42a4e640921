"""A server that runs until it is told to stop, and then answers what it accepted."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from loopline.core.errors import StateError
from loopline.prediction_log import open_log_to_write, prepare_log
from loopline.predictor import open_predictor
from loopline.predictor.answer import PredictorLike
from loopline.predictor.choosing import choose_engine
from loopline.serving.accepting import Acceptor, Surplus, turn_away
from loopline.serving.frame import ACCESS_LOGGER
from loopline.serving.front import Front
from loopline.serving.lane import Bundles
from loopline.serving.late import LateApp
from loopline.serving.protocol import BoundedHttp
from loopline.serving.service import Service
from loopline.serving.settings import ServeSettings
from loopline.serving.workers import ALONE, Worker, can_fork, num_cores, run_apart, supervise

if TYPE_CHECKING:
    from fastapi import FastAPI

# A tenth more answers to one client; elsewhere the one loop of Python's that tells of readable sockets everywhere.
_LOOP = "uvloop" if find_spec("uvloop") else "asyncio:SelectorEventLoop"
# As many connections wait for the event loop as the system allows.
_BACKLOG = 2048
# How much longer than a request an event loop may stand still.
_HANG_GRACE_S = 5.0
# A connection that has begun is there within this time.
_HANDSHAKE_S = 0.1
# A request that was sent before its client could know of the shutdown arrives within this time.
_DRAIN_S = 0.5


def serve(
    predictor: Path | PredictorLike,
    settings: ServeSettings,
    *,
    model: str,
    log_path: Path,
    find: Callable[[str], Path] | None = None,
) -> None:
    """Serves a bundle's folder, or an open predictor, until SIGTERM or SIGINT; prints the address once it listens.

    A folder is served by `settings.num_workers` processes, an open predictor by this one. Writes every answer to the
    log at `log_path` (or `settings.log`). Before it returns, everything that was accepted has its answer and its row.
    With `find`, from a reference to the folder that it stands for now, the server follows its alias and may have
    challengers. Raises `StateError` for an address that cannot be had and a log that cannot be written, and whatever
    `open_predictor` raises.
    """
    _configure_logging(settings)
    num_workers = _num_workers(predictor, settings)
    place = settings.log or log_path
    # First of all: opening a large model only to find the port taken would waste everybody's time.
    with closing(_bind(settings)) as listener:
        url = f"{_url(listener)}{'/ui/' if settings.ui else ''}"

        share = max(1, num_cores() // num_workers)
        num_threads = settings.num_threads or share
        if settings.num_decode_threads == 0 and share > 1:
            settings = settings.model_copy(update={"num_decode_threads": share})
        engine = _engine(predictor, settings, num_threads=num_threads)

        def work(worker: Worker, on_started: Callable[[], None]) -> None:
            open_bundle = partial(open_predictor, num_threads=num_threads, engine=engine)
            bundles = None if find is None else Bundles(find, open_bundle)
            opened = predictor
            if isinstance(opened, Path):
                opened = open_bundle(opened, verify=False)
                worker.share_proof(opened.verify)
            with open_log_to_write(place, spool_folder=log_path.parent, max_spool_rows=settings.log_spool_rows) as log:
                service = Service(opened, settings, model=model, log=log, worker=worker, bundles=bundles)
                _Server(Front(service), on_started).run(sockets=[listener])

        if num_workers == 1:
            work(ALONE, partial(_announce, model, url, opens_page=settings.open))
            return
        # What is here stays, and workers share it for as long as no collector writes into it.
        gc.freeze()
        # Made and brought up to date by one process, before several want to.
        prepare_log(place, spool_folder=log_path.parent)
        supervise(
            work,
            num_workers=num_workers,
            on_ready=partial(_announce, model, url, opens_page=settings.open),
            on_stop=partial(_close_door, listener),
            stop_timeout_s=settings.shutdown_timeout_s,
            # A request gets its 504 before; what also misses the time for its end will never answer.
            hang_timeout_s=settings.request_timeout_s + _HANG_GRACE_S,
        )


def _close_door(listener: socket.socket) -> None:
    """For the supervisor, before its workers end."""
    turn_away(listener)
    # While anyone has the socket open, the system goes on taking connections that nobody will answer.
    listener.close()


def _num_workers(predictor: Path | PredictorLike, settings: ServeSettings) -> int:
    """How many processes answer; raises `StateError` where several are asked for that cannot be made."""
    if isinstance(predictor, Path) and can_fork():
        return settings.num_workers or num_cores()
    if settings.num_workers > 1:
        raise StateError(
            f"num_workers {settings.num_workers} given; several processes need Linux, a bundle's folder, and a process "
            "without threads.",
            next_command="loopline serve MODEL --num-workers 1",
        )
    return 1


def _engine(predictor: Path | PredictorLike, settings: ServeSettings, *, num_threads: int) -> str | None:
    """The engine to open bundles with, None for their own; `auto` is measured, and what it found is said."""
    if settings.engine != "auto" or not isinstance(predictor, Path):
        return settings.engine
    choose = partial(choose_engine, predictor, num_threads=num_threads)
    choice = run_apart(choose) if can_fork() else choose()
    print(choice, file=sys.stderr, flush=True)
    return choice.engine


def _announce(model: str, url: str, *, opens_page: bool) -> None:
    """Says where the model is served, now that it answers."""
    print(f"serving {model} at {url}", flush=True)
    if opens_page:
        # In a thread of its own: some browsers are waited for until they are closed.
        threading.Thread(target=webbrowser.open, args=[url], daemon=True).start()


def _configure_logging(settings: ServeSettings) -> None:
    """Warnings and errors as lines, the access log as bare JSON; all of it on standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # It describes every malformed body at length; the client is told, the log need not be.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    access = logging.getLogger(ACCESS_LOGGER)
    access.setLevel(logging.INFO if settings.access_log else logging.WARNING)
    if settings.access_log and not access.handlers:
        bare = logging.StreamHandler()
        bare.setFormatter(logging.Formatter("%(message)s"))
        access.addHandler(bare)
        access.propagate = False


class _Server(uvicorn.Server):
    """Tells when it answers, takes its share of the connections, and answers for a moment more once it shall stop."""

    def __init__(self, front: Front, on_started: Callable[[], None]) -> None:
        settings = front.service.settings
        self._app = LateApp(partial(_framework, front))
        super().__init__(
            uvicorn.Config(
                self._app,
                loop=_LOOP,
                http=BoundedHttp,
                ws="none",
                access_log=False,
                log_config=None,
                timeout_graceful_shutdown=max(1, int(settings.shutdown_timeout_s)),
                lifespan="off",
                server_header=False,
            )
        )
        self._front = front
        self._head_timeout_s = settings.request_timeout_s
        self._worker = front.service.worker
        front.service.num_requests = self._num_requests
        self._is_stopping = False
        self._surplus = Surplus(self._worker)
        front.service.is_last = self._is_last
        self._on_started = on_started
        self._num_interrupts = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends in order at the first signal, at once at the second Ctrl-C.

        Uvicorn takes any Ctrl-C after another signal for a second one. But a terminal's reaches a worker and its
        supervisor, which sends SIGTERM: in either order that is one.
        """
        self._num_interrupts += sig == signal.SIGINT
        self.force_exit = self._num_interrupts > 1
        self.should_exit = True

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        with _stopping(self):
            super().run(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self._front.start()
        # Uvicorn starts everything but the listening, which is ours.
        await super().startup(sockets=[])
        self._acceptors = [
            Acceptor(listener, self._connect, num_open=self._num_connections, worker=self._worker)
            for listener in sockets or ()
        ]
        for acceptor in self._acceptors:
            acceptor.start()
        self._app.begin()
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Every 0.1 s; True ends the server."""
        self._publish()
        self._app.check()
        self._front.service.telemetry.look()
        self._worker.beat()
        self._surplus.look()
        return self._worker.is_orphan or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuses new connections at once, and answers what is on its way on open ones before it closes those.

        Uvicorn alone closes every connection that has no request in work, even where one is about to arrive.
        """
        if self._worker.supervisor_id is None:
            # Otherwise its supervisor has done so, or goes on with another worker.
            for listener in sockets or ():
                turn_away(listener)
        await asyncio.sleep(_HANDSHAKE_S)
        for acceptor in self._acceptors:
            acceptor.close()
        # Only now: a client whose connection ends comes back, and must find the door closed, not closing.
        self._is_stopping = True
        await asyncio.sleep(_DRAIN_S)
        await super().shutdown()
        if not self.force_exit:
            await self._front.close()

    async def _connect(self, accepted: socket.socket) -> None:
        # What uvicorn itself makes of each connection, within limits.
        protocol = partial(
            BoundedHttp,
            head_timeout_s=self._head_timeout_s,
            on_lost=self._publish,
            direct=self._front.direct,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        await asyncio.get_running_loop().connect_accepted_socket(protocol, accepted)

    def _publish(self) -> None:
        # At once: until its siblings know, they take more than their share of what comes next.
        for acceptor in self._acceptors:
            acceptor.publish()

    def _num_requests(self) -> int:
        return len(self.server_state.tasks) + self._front.direct.num_open

    def _is_last(self) -> bool:
        return self._is_stopping or self._surplus.takes()

    def _num_connections(self) -> int:
        return len(self.server_state.connections)


def _framework(front: Front) -> FastAPI:
    """The application with the routes that do not go the short way."""
    from loopline.serving.app import app_behind

    app = app_behind(front)
    # It stays as long as the process: to look through it for garbage, again and again, would hold requests up.
    gc.freeze()
    return app


@contextmanager
def _stopping(server: uvicorn.Server) -> Iterator[None]:
    """SIGTERM and SIGINT end the server in order, and with it the process with exit code 0.

    Uvicorn takes the signals only while it runs; before and after, Python's default would end the process by them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bind(settings: ServeSettings) -> socket.socket:
    """A listening socket; raises `StateError` where the address is taken or does not exist."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol named: asyncio sends without delay only on sockets that say they are TCP, and an answer in two
    # pieces would otherwise wait 40 ms for the client's acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StateError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}.",
            next_command="loopline serve MODEL --port 0",
        ) from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
