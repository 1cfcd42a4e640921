"""What is asked, and of whom: a folder's files as requests, and only servers that are one's own."""

from __future__ import annotations

import ipaddress
import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loopline.core.errors import InputError, StateError
from loopline.core.form import file_form
from loopline.loadtest.plan import PreparedRequest

# Enough to be no single picture, few enough to lie in memory.
MOST_INPUTS = 1000
_ASK_S = 10.0
_OWN = "--i-own-this-host"


def refuse_strangers(url: str, *, is_own: bool) -> str:
    """The server's address without a path; raises `InputError` for one that is not on this machine and not one's own.

    A load test against somebody else's server is an attack.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"address '{url}' given; expected one as http://127.0.0.1:8000.")
    if not is_own:
        try:
            found = {info[4][0] for info in socket.getaddrinfo(parts.hostname, None)}
        except OSError as error:
            raise InputError(f"host '{parts.hostname}' cannot be found: {error}.") from error
        strangers = sorted(str(text) for text in found if not ipaddress.ip_address(text).is_loopback)
        if strangers:
            raise InputError(
                f"'{parts.hostname}' is {strangers[0]}, another machine; only servers on this one are loaded.",
                next_command=f"loopline loadtest {url} {_OWN}, where you may load it",
            )
    return f"{parts.scheme}://{parts.netloc}"


def ask_model(address: str, headers: dict[str, str]) -> dict[str, Any]:
    """The model, bundle_digest and input_kind that the server states; raises `StateError` where none answers."""
    request = urllib.request.Request(f"{address}/model", headers=headers)  # noqa: S310 - the scheme was checked
    try:
        with urllib.request.urlopen(request, timeout=_ASK_S) as answer:  # noqa: S310 - as above
            found: dict[str, Any] = json.loads(answer.read())
            return {key: found[key] for key in ("model", "bundle_digest", "input_kind")}
    except (OSError, ValueError, KeyError) as error:
        raise StateError(
            f"{address}/model does not answer as a Loopline server does: {error}.",
            next_command="loopline serve MODEL",
        ) from error


def prepare_requests(folder: Path, input_kind: str) -> list[PreparedRequest]:
    """The files of a folder, and of those in it, as bodies for `/predict`; at most 1,000, in the order of their names.

    Pictures go as multipart files, values and texts as JSON. Raises `InputError` where there is no file.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))[:MOST_INPUTS]
    if not files:
        raise InputError(f"'{folder}' holds no file; expected a folder of examples, as the model was trained on.")
    return [_prepared(path, input_kind) for path in files]


def _prepared(path: Path, input_kind: str) -> PreparedRequest:
    data = path.read_bytes()
    if input_kind in ("text", "values"):
        try:
            value = data.decode().strip() if input_kind == "text" else json.loads(data)
        except ValueError as error:
            raise InputError(f"file '{path}' is no example of {input_kind}: {error}.") from error
        body = json.dumps({input_kind: value}).encode()
        return PreparedRequest(body=body, content_type="application/json")
    body, content_type = file_form(data, filename=f"example{path.suffix}")
    return PreparedRequest(body=body, content_type=content_type)
