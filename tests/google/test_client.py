"""The official client behind our seam: what it refuses, how services refuse, what becomes of credentials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.recorded_google import BUCKET, google, refusal

from loopline.core.errors import InputError
from loopline.google import ApiRefused, Identity, NoCredentials, open_google
from loopline.google.refusals import parse_refusal


def test_a_parameter_that_a_method_does_not_have_is_refused_here() -> None:
    """By the vendor's own description of the method."""
    client, http = google({})
    with pytest.raises(InputError, match=r"storage\.v1 buckets\.get: .*no_such"):
        client.call("storage.v1", "buckets.get", {"bucket": "b", "no_such": 1})
    assert http.requests == []


def test_how_a_service_refuses() -> None:
    """Status, reason, its own sentence; in both forms of errors, and in none."""
    client, _ = google({BUCKET: refusal(403, "PERMISSION_DENIED", "no", details="SERVICE_DISABLED")})
    with pytest.raises(ApiRefused, match=r"refused storage\.v1 buckets\.get with 403 SERVICE_DISABLED: no") as caught:
        client.call("storage.v1", "buckets.get", {"bucket": "potato-models"})
    assert not caught.value.is_missing
    older = json.dumps({"error": {"code": 404, "message": "gone", "errors": [{"reason": "notFound"}]}}).encode()
    assert parse_refusal("m", 404, older).reason == "notFound"
    assert parse_refusal("m", 404, older).is_missing
    assert parse_refusal("m", 401, b'{"error": "invalid_grant"}').reason == "invalid_grant"
    assert parse_refusal("m", 502, b"<html>bad gateway</html>").reason == "UNKNOWN"


def test_who_asks_as_policies_write_it() -> None:
    """People and service accounts."""
    assert Identity("user", "ada@example.org").member == "user:ada@example.org"
    assert Identity("service account", "a@p.iam.gserviceaccount.com").member.startswith("serviceAccount:a@p")
    assert Identity("user", None).member == "user:YOU"


def test_credentials_that_cannot_be_used_say_how_to_log_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is named and not there, and one that is none."""
    for text in (None, "{}"):
        path = tmp_path / "credentials.json"
        if text is not None:
            path.write_text(text)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        with pytest.raises(NoCredentials, match="Next: gcloud auth application-default login"):
            open_google()
