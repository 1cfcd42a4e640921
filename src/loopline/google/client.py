"""The client: a method of an API by its documented name, its parameters, its body.

The descriptions of the APIs (discovery documents) come with the client library, so nothing is fetched to learn how to
ask, and a parameter that a method does not have is refused here. The seam for tests is the client's own: `http`, an
object with httplib2's `request`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from loopline.core.errors import InputError
from loopline.google.refusals import NoCredentials, parse_refusal

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email")
_TIMEOUT_S = 30
_LOGIN = "gcloud auth application-default login"


class Http(Protocol):
    """What carries a request: httplib2's, authorized, or a test's recorded answers."""

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: Any = None,
        headers: Any = None,
        redirections: int = 5,
        connection_type: Any = None,
    ) -> tuple[Any, bytes]:
        """Answers with a response (a mapping of headers with `status`) and its body."""


@dataclass(frozen=True)
class Identity:
    """Who the credentials stand for: `kind` is `user`, `service account`, `workload identity` or `unknown`."""

    kind: str
    # None where Google was not asked, or did not tell.
    email: str | None
    quota_project: str | None = None
    # Where the credentials name a project themselves.
    project: str | None = None

    @property
    def member(self) -> str:
        """As IAM policies write it."""
        prefix = "serviceAccount" if (self.email or "").endswith("gserviceaccount.com") else "user"
        return f"{prefix}:{self.email or 'YOU'}"


class Google:
    """Asks Google Cloud's APIs; one object a process, safe to use from several threads."""

    def __init__(self, http: Http, identity: Identity) -> None:
        self.identity = identity
        self._http = http
        self._apis: dict[tuple[str, str], Any] = {}
        # httplib2 keeps connections that two threads must not share, and building an API twice would be waste.
        self._lock = threading.Lock()

    def call(
        self,
        api: str,
        method: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        body: Any = None,
        region: str | None = None,
    ) -> dict[str, Any]:
        """The answer of `method` (`projects.locations.services.get`) of `api` (`run.v2`), as plain values.

        `region` asks that region's own address, where an API has one. Reads are tried three times where a service is
        busy. Raises `ApiRefused` for an answer that is an error, `NoCredentials` where credentials are refused and
        `InputError` for a parameter that the method does not have.
        """
        from google.auth.exceptions import GoogleAuthError
        from googleapiclient.errors import HttpError

        with self._lock:
            resource = self._api(api, region)
            *collections, verb = method.split(".")
            for name in collections:
                resource = getattr(resource, name)()
            given = {**(parameters or {}), **({} if body is None else {"body": body})}
            try:
                request = getattr(resource, verb)(**given)
            except TypeError as error:
                raise InputError(f"{api} {method}: {error}.") from None
            try:
                answer: dict[str, Any] = request.execute(num_retries=2 if request.method == "GET" else 0)
            except HttpError as error:
                raise parse_refusal(f"{api} {method}", int(error.resp.status), error.content) from None
            except GoogleAuthError as error:
                raise NoCredentials(f"the credentials are refused: {error}.", next_command=_LOGIN) from None
            return answer or {}

    def pages(
        self,
        api: str,
        method: str,
        parameters: Mapping[str, Any],
        *,
        key: str,
        region: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Every item under `key` of a method that answers in pages."""
        token: str | None = None
        while True:
            given = {**parameters, **({} if token is None else {"pageToken": token})}
            answer = self.call(api, method, given, region=region)
            yield from answer.get(key, ())
            token = answer.get("nextPageToken")
            if not token:
                return

    def _api(self, api: str, region: str | None) -> Any:
        from googleapiclient.discovery import build

        found = self._apis.get((api, region or ""))
        if found is None:
            name, _, version = api.partition(".")
            options = None if region is None else {"api_endpoint": f"https://{region}-{name}.googleapis.com"}
            found = build(name, version, http=self._http, client_options=options, static_discovery=True)
            self._apis[(api, region or "")] = found
        return found


def open_google(scopes: Sequence[str] = _SCOPES) -> Google:
    """A client with this machine's application default credentials, refreshed once so that they are known to work.

    They are, in this order: the file that GOOGLE_APPLICATION_CREDENTIALS names, what `gcloud auth application-default
    login` left, the service account of the machine. Raises `NoCredentials`.
    """
    import google.auth
    import google_auth_httplib2
    import httplib2
    from google.auth.exceptions import GoogleAuthError

    try:
        credentials, project = google.auth.default(scopes=list(scopes))
        http = google_auth_httplib2.AuthorizedHttp(credentials, http=httplib2.Http(timeout=_TIMEOUT_S))
        wire = google_auth_httplib2.Request(httplib2.Http(timeout=_TIMEOUT_S))
        credentials.refresh(wire)  # type: ignore[no-untyped-call] # the library types some
    except GoogleAuthError as error:
        raise NoCredentials(f"no usable credentials for Google Cloud: {_first_line(error)}", next_command=_LOGIN) from (
            None
        )
    return Google(http, _identity(credentials, http, project))


def _identity(credentials: Any, http: Http, project: str | None) -> Identity:
    import json

    quota_project = getattr(credentials, "quota_project_id", None)
    email = getattr(credentials, "service_account_email", None)
    module = type(credentials).__module__
    if module.endswith(("external_account", "identity_pool", "aws")):
        return Identity("workload identity", email, quota_project, project)
    if email not in (None, "default"):
        return Identity("service account", email, quota_project, project)
    _, content = http.request("https://openidconnect.googleapis.com/v1/userinfo")
    try:
        email = json.loads(content).get("email")
    except ValueError:
        email = None
    return Identity("user", email, quota_project, project)


def _first_line(error: Exception) -> str:
    return f"{str(error).strip().splitlines()[0].rstrip('.')}."
