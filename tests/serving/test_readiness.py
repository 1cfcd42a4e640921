"""Ready is what was proved: false while the reference inputs come out wrong or predicting breaks, true again after."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from loopline.prediction_log import open_log
from loopline.serving.app import build_app
from loopline.serving.settings import ServeSettings

Serving = Callable[..., AbstractContextManager[Any]]


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.01)


def test_a_broken_predictor_is_never_ready(serving: Serving, breakable: Any, picture: bytes) -> None:
    """It starts, says why it is not ready, and refuses to predict with a 503."""
    breakable.is_broken = True
    with serving(breakable, verify_interval_s=30) as client:
        assert client.http.get("/healthz").status_code == 200
        assert "reference inputs come out wrong" in client.error(client.http.get("/readyz"), 503)["message"]
        refused = client.predict(picture)
        assert client.error(refused, 503)["code"] == "not_ready"
        assert refused.headers["retry-after"] == "1"
        assert client.metric("loopline_ready") == 0


def test_ready_turns_false_when_predicting_breaks_and_true_when_it_works(
    serving: Serving, breakable: Any, picture: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The request gets a 503 with a sentence; the server looks again by itself and recovers."""
    with serving(breakable, verify_interval_s=0.05) as client:
        assert client.http.get("/readyz").status_code == 200
        breakable.is_broken = True
        assert "raised RuntimeError" in client.error(client.predict(picture), 503)["message"]
        assert client.http.get("/readyz").status_code == 503
        assert client.metric("loopline_ready") == 0
        assert client.metric("loopline_engine_failures_total") == 1
        time.sleep(0.2)
        assert client.http.get("/readyz").status_code == 503
        breakable.is_broken = False
        wait_for(lambda: client.http.get("/readyz").status_code == 200)
        assert client.predict(picture).status_code == 200
        assert client.metric("loopline_ready") == 1
    assert "does not predict any more" in caplog.text
    assert "predicts again" in caplog.text


def test_an_engine_that_hangs_is_a_504_and_not_ready(serving: Serving, breakable: Any, picture: bytes) -> None:
    """Nobody waits longer than request_timeout_s, and the server says that something is wrong."""
    with serving(breakable, request_timeout_s=0.2, verify_interval_s=0.05) as client:
        breakable.may_go_on.clear()
        breakable.is_broken = True
        assert client.error(client.predict(picture), 504)["code"] == "timed_out"
        assert client.http.get("/readyz").status_code == 503
        breakable.is_broken = False
        breakable.may_go_on.set()
        wait_for(lambda: client.http.get("/readyz").status_code == 200)


def test_what_was_verified_is_not_verified_again_until_it_breaks(
    breakable: Any, tmp_path: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever proved a part of it while the server started proves all of it later."""
    parts: list[tuple[int, int]] = []
    verify = breakable.verify

    def noted(*, part: int = 0, num_parts: int = 1) -> None:
        parts.append((part, num_parts))
        verify(part=part, num_parts=num_parts)

    monkeypatch.setattr(breakable, "verify", noted)
    breakable.is_verified = True
    settings = ServeSettings(verify_interval_s=0.05)
    with open_log(tmp_path / "predictions.db") as log:
        app = build_app(breakable, settings, model="shapes@champion", log=log)
        with TestClient(app, raise_server_exceptions=False) as http:
            assert http.get("/readyz").status_code == 200
            assert not parts
            breakable.is_broken = True
            assert http.post("/predict", files={"file": picture}).status_code == 503
            breakable.is_broken = False
            wait_for(lambda: http.get("/readyz").status_code == 200)
    assert set(parts) == {(0, 1)}
