"""A server that runs until it is told to stop, and then answers what it accepted."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

import uvicorn

from loopline.core.errors import StateError
from loopline.prediction_log import open_log
from loopline.predictor import open_predictor
from loopline.predictor.answer import PredictorLike
from loopline.serving.app import build_app
from loopline.serving.settings import ServeSettings

# As many connections wait for the event loop as the system allows.
_BACKLOG = 2048


def serve(predictor: Path | PredictorLike, settings: ServeSettings, *, model: str, log_path: Path) -> None:
    """Serves a bundle's folder, or an open predictor, until SIGTERM or SIGINT; prints the address once it listens.

    Writes every answer to the log at `log_path` (or `settings.log`). Before it returns, everything that was accepted
    has its answer and its row. Raises `StateError` for an address that cannot be had and a log that cannot be written,
    and whatever `open_predictor` raises.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # First of all: opening a large model only to find the port taken would waste everybody's time.
    with closing(_bind(settings)) as listener:
        opened = (
            open_predictor(predictor, num_threads=settings.num_threads) if isinstance(predictor, Path) else predictor
        )
        with open_log(settings.log or log_path) as log:
            app = build_app(opened, settings, model=model, log=log)
            server = _Server(
                uvicorn.Config(
                    app,
                    backlog=_BACKLOG,
                    access_log=settings.access_log,
                    log_level="info" if settings.access_log else "warning",
                    timeout_graceful_shutdown=int(settings.shutdown_timeout_s) or 1,
                    lifespan="on",
                    server_header=False,
                ),
                f"serving {model} at {_url(listener)}{'/ui/' if settings.ui else ''}",
            )
            with _stopping(server):
                server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Announces itself on standard output when it answers, so that whoever started it knows where."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            print(self._announcement, flush=True)


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
    listener = socket.socket(family, socket.SOCK_STREAM)
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
