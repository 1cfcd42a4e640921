"""A live address must answer as the bundle does: real servers of this project on loopback."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import uvicorn

from loopline.bundle import read_bundle
from loopline.core.errors import InputError, SkewError, StateError
from loopline.deployment import http_ask, smoke
from loopline.deployment.smoke import instance
from loopline.prediction_log import open_log
from loopline.predictor import open_predictor
from loopline.serving import ServeSettings, build_app
from loopline.serving.keys import make_key
from loopline.testing import make_bundle, make_value_bundle


@contextmanager
def served(folder: Path, tmp_path: Path, settings: ServeSettings | None = None) -> Iterator[str]:
    """The bundle in a folder behind HTTP on a free port; yields the address."""
    with closing(socket.socket()) as listener, open_log(tmp_path / f"{folder.name}.db") as log:
        listener.bind(("127.0.0.1", 0))
        app = build_app(open_predictor(folder, num_threads=1), settings or ServeSettings(), model="m", log=log)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_a_server_reproduces_its_bundle(bundle_folder: Path, tmp_path: Path) -> None:
    """Every reference input, over the network, within the tolerance; and not when another bundle is meant."""
    bundle = read_bundle(bundle_folder)
    other = make_bundle(tmp_path, seed=7)
    with served(bundle_folder, tmp_path) as url:
        done = smoke(http_ask(url, bundle), bundle_folder)
        assert done.num_inputs == bundle.reference.num_inputs
        assert done.max_abs_error < 1e-5
        assert smoke(http_ask(url, bundle), bundle_folder, num_inputs=2).num_inputs == 2
        with pytest.raises(SkewError, match=f"bundle {bundle.digest[:12]} answers there; expected"):
            smoke(http_ask(url, bundle), other)


def test_a_server_with_keys_is_asked_with_one(bundle_folder: Path, tmp_path: Path) -> None:
    """Without, its refusal says what to set; the platform's own token travels beside the key."""
    key, entry = make_key("smoke")
    bundle = read_bundle(bundle_folder)
    with served(bundle_folder, tmp_path, ServeSettings(api_key=(str(entry),))) as url:
        assert smoke(http_ask(url, bundle, token="t", api_key=key), bundle_folder, num_inputs=1).num_inputs == 1  # noqa: S106 - no token
        with pytest.raises(StateError, match=r"with 401: .*Next: export LOOPLINE_API_KEY="):
            smoke(http_ask(url, bundle), bundle_folder, num_inputs=1)


def test_values_too(tmp_path: Path) -> None:
    """A bundle that predicts a quantity."""
    folder = make_value_bundle(tmp_path)
    with served(folder, tmp_path) as url:
        assert smoke(http_ask(url, read_bundle(folder)), folder).max_abs_error < 1e-3


def test_a_wrong_answer_is_named(bundle_folder: Path) -> None:
    """The right bundle, and other numbers: what a processor or a resize that differs looks like."""
    bundle = read_bundle(bundle_folder)
    wrong = {"bundle_digest": bundle.digest, "label": "circle", "probabilities": dict.fromkeys(bundle.label_names, 0.5)}
    with pytest.raises(SkewError, match=r"reference input \d+ is answered with circle; expected"):
        smoke(lambda _: wrong, bundle_folder)


def test_addresses_that_do_not_answer(bundle_folder: Path) -> None:
    """Gone, and none at all."""
    bundle = read_bundle(bundle_folder)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(StateError, match="does not answer"):
        smoke(http_ask(url, bundle), bundle_folder)
    with pytest.raises(InputError, match="expected http"):
        http_ask("ftp://host", bundle)


def test_what_travels_in_an_envelope(tmp_path: Path, bundle_folder: Path) -> None:
    """Pictures as base64; rows as files only."""
    assert instance(b"png", read_bundle(bundle_folder)) == {"image": "cG5n"}
    with pytest.raises(StateError, match="travel as files"):
        instance(b"1,2,3", read_bundle(make_value_bundle(tmp_path)))
