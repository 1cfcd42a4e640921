"""A server that runs until it is told to stop, and then answers what it accepted."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from loopline.core.errors import StateError
from loopline.prediction_log import open_log
from loopline.predictor import open_predictor
from loopline.predictor.answer import PredictorLike
from loopline.serving.app import build_app
from loopline.serving.frame import ACCESS_LOGGER
from loopline.serving.settings import ServeSettings

# As many connections wait for the event loop as the system allows.
_BACKLOG = 2048
# A request that was sent before its client could know of the shutdown arrives within this time.
_DRAIN_S = 0.5


def serve(predictor: Path | PredictorLike, settings: ServeSettings, *, model: str, log_path: Path) -> None:
    """Serves a bundle's folder, or an open predictor, until SIGTERM or SIGINT; prints the address once it listens.

    Writes every answer to the log at `log_path` (or `settings.log`). Before it returns, everything that was accepted
    has its answer and its row. Raises `StateError` for an address that cannot be had and a log that cannot be written,
    and whatever `open_predictor` raises.
    """
    _configure_logging(settings)
    # First of all: opening a large model only to find the port taken would waste everybody's time.
    with closing(_bind(settings)) as listener:
        opened = (
            open_predictor(predictor, num_threads=settings.num_threads) if isinstance(predictor, Path) else predictor
        )
        with open_log(settings.log or log_path) as log:
            app = build_app(opened, settings, model=model, log=log)
            config = uvicorn.Config(
                app,
                # Not uvloop, even where it is installed: it gains nothing here, and under a burst it accepts so slowly
                # that a shutdown resets hundreds of connections.
                loop="asyncio",
                backlog=_BACKLOG,
                access_log=False,
                log_config=None,
                timeout_graceful_shutdown=max(1, int(settings.shutdown_timeout_s)),
                lifespan="on",
                server_header=False,
            )
            url = f"{_url(listener)}{'/ui/' if settings.ui else ''}"
            server = _Server(config, app, model=model, url=url, opens_page=settings.open)
            with _stopping(server):
                server.run(sockets=[listener])


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
    """Says where it listens once it answers, and goes on answering for a moment once it is told to stop."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, *, model: str, url: str, opens_page: bool) -> None:
        super().__init__(config)
        self._app = app
        self._model = model
        self._url = url
        self._opens_page = opens_page

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            print(f"serving {self._model} at {self._url}", flush=True)
            if self._opens_page:
                # In a thread of its own: some browsers are waited for until they are closed.
                threading.Thread(target=webbrowser.open, args=[self._url], daemon=True).start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuses new connections at once, and answers what is on its way on open ones before it closes those.

        Uvicorn alone closes every connection that has no request in work, even where one is about to arrive.
        """
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        # Only now: a client whose connection ends comes back, and must find the door closed, not closing.
        self._app.state.is_stopping = True
        await asyncio.sleep(_DRAIN_S)
        await super().shutdown(sockets=sockets)


@contextmanager
def _stopping(server: uvicorn.Server) -> Iterator[None]:
    """SIGTERM and SIGINT end the server in order, and with it the process with exit code 0.

    Uvicorn takes the signals while it runs and raises them again when it is done, for whoever had them before: that
    must not be Python's default, which would end the process by the signal.
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
