"""Who may ask, how often, from where, and what is closed; observed through the application."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from loopline.cli.api_key import api_key
from loopline.core.errors import ConfigError
from loopline.serving.frame import ACCESS_LOGGER
from loopline.serving.keys import make_key, parse_entry, read_keys
from loopline.serving.rate_limit import RateLimit
from loopline.serving.settings import ServeSettings

Serving = Callable[..., AbstractContextManager[Any]]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_is_needed_where_there_are_keys(serving: Serving, picture: bytes, tmp_path: Path) -> None:
    """Of several, from option and file; in either header; not by probes, and not for the empty pages."""
    (alice, entry), (bob, in_file) = make_key("alice"), make_key("bob")
    file = tmp_path / "keys"
    file.write_text(f"# who may ask\n\n{in_file}  # since November\n")
    with serving(api_key=(str(entry),), api_key_file=file, ui=True) as client:
        for path in ("/predict", "/model", "/metrics", "/openapi.json", "/nothing"):
            refused = client.http.get(path)
            assert client.error(refused, 401)["code"] == "no_key"
            assert refused.headers["www-authenticate"] == "Bearer"
        wrong, _ = make_key("alice")
        for headers in ({"Authorization": f"Basic {alice}"}, bearer(wrong), bearer(str(entry)), bearer("é")):
            assert client.http.get("/model", headers={k: v.encode() for k, v in headers.items()}).status_code == 401
        assert client.predict(picture, **bearer(alice)).status_code == 200
        assert client.predict(picture, **{"X-API-Key": bob}).status_code == 200
        for path in ("/healthz", "/readyz", "/docs", "/ui/", "/ui/server.js"):
            assert client.http.get(path).status_code == 200


def test_the_platforms_own_probe_needs_no_key(serving: Serving) -> None:
    """A platform asks the path that it chose as it asks /readyz, and has no key; its predictions need one."""
    _, entry = make_key("alice")
    with serving(api_key=(str(entry),), health_route="/v1/health", predict_route="/v1/health:predict") as client:
        assert client.http.get("/v1/health").status_code == 200
        assert client.http.post("/v1/health:predict", json={"instances": [{}]}).status_code == 401
        assert client.http.get("/v1/health/").status_code == 401


def test_nobody_hears_which_key_it_was(
    serving: Serving, picture: bytes, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The access log has the holder's name; a key given for its hash is refused without being repeated."""
    key, entry = make_key("alice")
    with serving(api_key=(str(entry),)) as client, caplog.at_level(logging.INFO, ACCESS_LOGGER):
        client.predict(picture, **bearer(key))
    line = json.loads(next(record.message for record in caplog.records if record.name == ACCESS_LOGGER))
    assert line["key"] == "alice"
    assert key not in caplog.text
    with pytest.raises(ConfigError, match="a key itself given") as caught:
        read_keys((f"alice:{key}",), None)
    assert key not in str(caught.value)
    assert caught.value.next_command == "loopline api-key NAME"
    with pytest.raises(ConfigError, match="expected NAME:SHA256"):
        parse_entry("two words:1")
    with pytest.raises(ConfigError, match="name 'alice' given twice"):
        read_keys((str(entry), str(make_key("alice")[1])), None)


def test_the_command_makes_a_key_that_works(serving: Serving) -> None:
    made = CliRunner().invoke(api_key, ["carol"])
    key, entry = made.stdout.splitlines()
    with serving(api_key=(entry,)) as client:
        assert client.http.get("/model", headers=bearer(key)).status_code == 200
    assert CliRunner().invoke(api_key, ["two words"]).exit_code != 0


def test_each_key_has_its_own_rate(serving: Serving, picture: bytes) -> None:
    """One request may always come, then 429 with the time to wait; another key is not concerned."""
    (alice, entry), (bob, other) = make_key("alice"), make_key("bob")
    # So slow that no machine is too slow for the test.
    with serving(api_key=(str(entry), str(other)), rate_limit_per_s=0.001) as client:
        assert client.predict(picture, **bearer(alice)).status_code == 200
        refused = client.predict(picture, **bearer(alice))
        assert client.error(refused, 429)["code"] == "rate_limited"
        assert int(refused.headers["retry-after"]) > 500
        assert client.predict(picture, **bearer(bob)).status_code == 200
    with pytest.raises(ValueError, match="rate_limit_per_s is a limit per API key"):
        ServeSettings(rate_limit_per_s=3)


def test_the_rate_is_kept() -> None:
    """Over ten seconds of requests every 10 ms, ten a second pass and one second's worth more."""
    limit = RateLimit(10, 2)
    passed = sum(limit.wait_s(1, now_s=1000 + step / 100) == 0 for step in range(1000))
    assert passed == pytest.approx(110, abs=1)
    assert limit.wait_s(0, now_s=1000) == 0
    slow = RateLimit(0.5, 1)
    assert slow.wait_s(0, now_s=50) == 0
    assert slow.wait_s(0, now_s=50) == pytest.approx(1.0, abs=1.01)
    assert slow.wait_s(0, now_s=52.5) == 0
    limit.close()
    slow.close()


TAKE = """
import sys
from pathlib import Path
from loopline.serving.rate_limit import RateLimit
limit = RateLimit(100, 1, folder=Path(sys.argv[1]))
print(sum(limit.wait_s(0, now_s=1000.0) == 0 for _ in range(300)))
limit.close()
"""


def test_all_processes_share_one_rate(tmp_path: Path) -> None:
    """Four processes that ask as fast as they can get one second's worth between them."""
    command = [sys.executable, "-c", TAKE, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert sum(int(process.communicate(timeout=60)[0]) for process in processes) == 100


def test_other_origins_are_closed_until_opened(serving: Serving) -> None:
    """Off by default; opened for one origin, with a key and without cookies."""
    origin = {"Origin": "https://app.example"}
    ask = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with serving() as client:
        assert "access-control-allow-origin" not in client.http.get("/healthz", headers=origin).headers
        assert client.http.options("/predict", headers=ask).status_code == 405
    _, entry = make_key("alice")
    with serving(cors_origin=("https://app.example",), api_key=(str(entry),)) as client:
        allowed = client.http.options("/predict", headers=ask)
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        assert "access-control-allow-credentials" not in allowed.headers
        refused = client.http.get("/model", headers=origin)
        assert client.error(refused, 401)["code"] == "no_key"
        assert refused.headers["access-control-allow-origin"] == "https://app.example"
        strange = client.http.get("/healthz", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in strange.headers


def test_metrics_and_docs_can_be_closed(serving: Serving) -> None:
    """What the page needs stays where there is a page."""
    with serving(metrics=False, docs=False) as client:
        for path in ("/metrics", "/docs", "/openapi.json", "/ui/server.js"):
            assert client.http.get(path).status_code == 404
    with serving(docs=False, ui=True) as client:
        assert client.http.get("/docs").status_code == 404
        assert client.http.get("/ui/server.js").status_code == 200


def test_bodies_in_work_are_bounded(serving: Serving, breakable: Any, body_of: Any) -> None:
    """A body that finds no room is a 429; what was held is given back, whatever became of it."""
    with serving(breakable, max_body_bytes=300_000, max_pending_bytes=300_000) as client:
        http: TestClient = client.http
        pending = http.app.state.service.pending  # type: ignore[attr-defined] # FastAPI's, under Starlette's type
        pending.take(200_000)
        refused = client.predict(b"x" * 200_000)
        assert client.error(refused, 429)["code"] == "memory_full"
        assert client.predict(b"no picture").status_code == 422
        pending.give_back(200_000)
        assert client.predict(b"x" * 200_000).status_code == 422
        assert pending.num_bytes == 0


def test_settings_that_do_not_fit_repeat_no_secret() -> None:
    """What was given as a whole may hold a password."""
    from loopline.core.validation import validated

    given = {"log": "postgresql://me:secret@db/log", "max_pending_bytes": 5}
    with pytest.raises(ConfigError, match="max_pending_bytes is less than max_body_bytes") as caught:
        validated(ServeSettings, given)
    assert "secret" not in str(caught.value)
