"""MLflow's registry behind a server: its REST API, with Python's own HTTP client."""

from __future__ import annotations

import base64
import http.client
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlencode, urlsplit
from urllib.request import Request, urlopen

from pydantic import BaseModel, ValidationError

from loopline.aliases.row import VersionRow
from loopline.core.errors import InputError, IntegrityError, StateError
from loopline.core.records import ModelBundle
from loopline.core.store import atomic_folder, digest_bytes, write_bytes

ARTIFACT_SCHEME = "mlflow-artifacts"
_TIMEOUT_S = 10
_PAGE_ROWS = 200
_MOST_JSON_BYTES = 64 << 20


class _Tag(BaseModel):
    key: str
    value: str


class _Alias(BaseModel):
    alias: str
    version: int


class _Model(BaseModel):
    name: str
    aliases: list[_Alias] = []
    tags: list[_Tag] = []


class _Version(BaseModel):
    name: str
    version: int
    creation_timestamp: int
    source: str
    tags: list[_Tag] = []


class _Page(BaseModel):
    """What we need of MLflow's answer; a later MLflow may say more, so unknown keys are no error here."""

    registered_models: list[_Model] = []
    model_versions: list[_Version] = []
    next_page_token: str = ""


def read_rows(url: str, name: str | None) -> list[VersionRow]:
    """The versions of all models of a server, or of one, by name and number."""
    aliases: dict[tuple[str, int], list[str]] = {}
    for page in _pages(url, "registered-models/search", name):
        for model in page.registered_models:
            for item in model.aliases:
                aliases.setdefault((model.name, item.version), []).append(item.alias)
    rows = [
        VersionRow(
            version.name,
            version.version,
            version.creation_timestamp,
            version.source,
            tuple(aliases.get((version.name, version.version), [])),
            {tag.key: tag.value for tag in version.tags},
        )
        for page in _pages(url, "model-versions/search", name)
        for version in page.model_versions
    ]
    return sorted(rows, key=lambda row: (row.name, row.number))


def read_tags(url: str, name: str) -> dict[str, str]:
    """The tags of a registered model; none where it does not exist."""
    models = [model for page in _pages(url, "registered-models/search", name) for model in page.registered_models]
    return {tag.key: tag.value for model in models for tag in model.tags}


def download_bundle(url: str, source: str, folder: Path) -> None:
    """Downloads the bundle at `source` (`mlflow-artifacts:/…/bundle`) of a server to the new `folder`, atomically.

    Every file is held to the size and digest that the bundle's own record states. Raises `IntegrityError` for others.
    """
    place = urlsplit(source)
    if place.scheme != ARTIFACT_SCHEME or place.netloc:
        raise InputError(
            f"the bundle lies at '{source}'; expected a folder or an artifact that the server hands out.",
            next_command="mlflow server --serve-artifacts",
        )
    address = f"{url.rstrip('/')}/api/2.0/mlflow-artifacts/artifacts/{quote(place.path.strip('/'))}"
    record = _get(f"{address}/bundle.json", most_bytes=_MOST_JSON_BYTES)
    try:
        bundle = ModelBundle.model_validate_json(record)
    except ValidationError as error:
        raise IntegrityError(f"'{source}/bundle.json' is no valid bundle: {error.errors()[0]['msg']}.") from error
    with atomic_folder(folder) as temporary:
        write_bytes(temporary / "bundle.json", record)
        for path, entry in bundle.files.items():
            data = _get(f"{address}/{quote(path)}", most_bytes=entry.num_bytes)
            if digest_bytes(data) != entry.digest:
                raise IntegrityError(f"'{source}/{path}' was changed: its SHA-256 is not {entry.digest[:12]}….")
            write_bytes(temporary / path, data)


def _pages(url: str, method: str, name: str | None) -> Iterator[_Page]:
    """What a search finds, or what it finds of one name, page by page."""
    query = {"max_results": str(_PAGE_ROWS)} | ({} if name is None else {"filter": f"name='{name}'"})
    while True:
        raw = _get(f"{url.rstrip('/')}/api/2.0/mlflow/{method}?{urlencode(query)}", most_bytes=_MOST_JSON_BYTES)
        try:
            page = _Page.model_validate_json(raw)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise IntegrityError(
                f"'{without_credentials(url)}' did not answer as a registry of MLflow 3 does: {reason}."
            ) from error
        yield page
        if not page.next_page_token:
            return
        query["page_token"] = page.next_page_token


def without_credentials(url: str) -> str:
    """An address without the name and password that may stand before its host, as messages show it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url


def _get(url: str, *, most_bytes: int) -> bytes:
    """Raises `StateError` where the server does not answer or refuses, `IntegrityError` where it sends too much."""
    address = without_credentials(url)
    server = "{0.scheme}://{0.netloc}".format(urlsplit(address))
    request = Request(address, headers=_credentials(url))  # noqa: S310 - http or https, `resolve` saw to that
    try:
        with urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310 - as above
            data: bytes = response.read(most_bytes + 1)
    except HTTPError as error:
        with error:
            known = error.code in (401, 403)
        mend = "export MLFLOW_TRACKING_TOKEN=…" if known else None
        sentence = f"the registry at {server} refused: {error.code} {error.reason}."
        raise StateError(sentence, next_command=mend) from error
    except (OSError, http.client.HTTPException) as error:
        raise StateError(
            f"the registry at {server} does not answer: {getattr(error, 'reason', error)}.",
            next_command="check MLFLOW_TRACKING_URI, or unset it to use the workspace's own registry",
        ) from error
    if len(data) > most_bytes:
        raise IntegrityError(f"'{address.partition('?')[0]}' has more than the {most_bytes:,} bytes expected.")
    return data


def _credentials(url: str) -> dict[str, str]:
    """What MLflow's own client sends: a token, or a name with a password from its variables or from the address."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    parts = urlsplit(url)
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or unquote(parts.username or "")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD") or unquote(parts.password or "")
    if user:
        pair = f"{user}:{password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}
