"""Questions to a service under a contract, over connections into its sandbox."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from loopline.contract.isolation import Running
from loopline.core.records import RouteRule

# More at once says nothing new, and would only keep this machine busy.
MOST_AT_ONCE = 16


@dataclass(frozen=True)
class Question:
    """A request whose answer is looked at: the path, and a body with its type; None for a GET."""

    path: str
    body: bytes | None = None
    content_type: str = "application/json"


@dataclass(frozen=True)
class Reply:
    """An answer's status and body; status 0 where there was none, with the reason as its body."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")[:300]


def example_body(raw: bytes, input_kind: str) -> dict[str, Any] | None:
    """An example's JSON body of /predict; None for a kind whose examples are files only."""
    if input_kind == "image":
        return {"image": base64.b64encode(raw).decode()}
    if input_kind == "text":
        return {"text": raw.decode()}
    if input_kind == "values":
        value: dict[str, Any] = json.loads(raw)
        return value if isinstance(value, dict) else {"values": value}
    return None


def prediction(routes: RouteRule, example: dict[str, Any]) -> Question:
    """An example as the platform would send it."""
    wrapped = {"instances": [example]} if routes.envelope == "instances" else example
    return Question(routes.predict, json.dumps(wrapped).encode())


def ask(running: Running, port: int, question: Question, *, timeout_s: float) -> Reply:
    """One request on a connection of its own."""
    connection = _Connection(running, port, timeout_s)
    try:
        headers = {} if question.body is None else {"Content-Type": question.content_type}
        connection.request("GET" if question.body is None else "POST", question.path, question.body, headers)
        response = connection.getresponse()
        return Reply(response.status, response.read())
    except (OSError, http.client.HTTPException) as error:
        return Reply(0, str(error).encode())
    finally:
        connection.close()


def ask_at_once(running: Running, port: int, question: Question, num_requests: int, *, timeout_s: float) -> list[Reply]:
    """The same request several times at once."""
    # Connections are handed out one by one, so they are made first.
    with ThreadPoolExecutor(num_requests) as threads:
        return list(threads.map(lambda _: ask(running, port, question, timeout_s=timeout_s), range(num_requests)))


class _Connection(http.client.HTTPConnection):
    """HTTP over a connection into the sandbox."""

    def __init__(self, running: Running, port: int, timeout_s: float) -> None:
        super().__init__("127.0.0.1", port, timeout=timeout_s)
        self._running = running

    def connect(self) -> None:
        self.sock: socket.socket = self._running.connect(self.port)
        self.sock.settimeout(self.timeout)
