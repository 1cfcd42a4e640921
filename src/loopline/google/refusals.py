"""How Google Cloud says no, as errors of ours."""

from __future__ import annotations

import json

from loopline.core.errors import StateError


class NoCredentials(StateError):
    """This machine holds no credentials that Google Cloud accepts."""


class ApiRefused(StateError):
    """A service of Google Cloud answered with an error.

    `status` is HTTP's, `reason` the machine-readable one (`SERVICE_DISABLED`, `PERMISSION_DENIED`, …), `said` the
    service's own sentence.
    """

    def __init__(self, *, method: str, status: int, reason: str, said: str) -> None:
        self.method = method
        self.status = status
        self.reason = reason
        self.said = said
        super().__init__(f"Google Cloud refused {method} with {status} {reason}: {said}")

    @property
    def is_missing(self) -> bool:
        return self.status == 404


def parse_refusal(method: str, status: int, content: bytes) -> ApiRefused:
    """The refusal that an answer's body describes, in the form of google.rpc.Status or in the older one of Storage.

    https://cloud.google.com/apis/design/errors
    """
    try:
        error = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        said = content.decode("utf-8", errors="replace").strip()[:200] or "no reason given"
        return ApiRefused(method=method, status=status, reason="UNKNOWN", said=said)
    if isinstance(error, str):
        return ApiRefused(method=method, status=status, reason=error, said=error)
    details = [item for item in error.get("details", ()) if isinstance(item, dict)]
    reasons = [item["reason"] for item in (*details, *error.get("errors", ())) if item.get("reason")]
    reason = str(next(iter(reasons), error.get("status", "UNKNOWN")))
    return ApiRefused(method=method, status=status, reason=reason, said=str(error.get("message", reason)))
