"""A place in a store, by its address. fsspec knows the stores; their own variables name credentials and emulators.

`gs://` finds application default credentials, `s3://` what AWS' tools find (AWS_PROFILE, AWS_ENDPOINT_URL, …).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from loopline.core.errors import InputError, StateError

SCHEMES = ("gs", "s3", "file")


@dataclass(frozen=True)
class Place:
    """A folder in a store: its address as it was given, and fsspec's view of it."""

    url: str
    _store: Any
    _root: str

    def path(self, name: str) -> str:
        """Where a file of the folder lies, as the store names it."""
        return f"{self._root}/{name}"

    def sizes(self) -> dict[str, int]:
        """Path in the folder to bytes, of every file that is there; empty where nothing is."""
        with self.refusals("listing"):
            self._store.invalidate_cache()
            found = self._store.find(self._root, detail=True)
        start = len(self._root.lstrip("/")) + 1
        return {path.lstrip("/")[start:]: int(facts["size"]) for path, facts in found.items()}

    def read(self, name: str) -> bytes | None:
        """A small file's bytes, or None where there is none."""
        with self.refusals(f"reading '{name}'"):
            try:
                found: bytes = self._store.cat_file(self.path(name))
            except FileNotFoundError:
                return None
            return found

    def write(self, name: str, data: bytes) -> None:
        """Writes a small file; a reader sees the old one or the new one."""
        with self.refusals(f"writing '{name}'"):
            if self._is_local:
                self._store.makedirs(self._parent(name), exist_ok=True)
            self._store.pipe_file(self.path(name), data)

    def send(self, local: str, name: str) -> None:
        """Copies a file there."""
        with self.refusals(f"sending '{name}'"):
            if self._is_local:
                self._store.makedirs(self._parent(name), exist_ok=True)
            self._store.put_file(local, self.path(name))

    def fetch(self, name: str, local: str) -> None:
        """Copies a file here."""
        with self.refusals(f"fetching '{name}'"):
            self._store.get_file(self.path(name), local)

    def remove(self, name: str) -> None:
        """Removes a file; none there is no error."""
        with self.refusals(f"removing '{name}'"):
            try:
                self._store.rm_file(self.path(name))
            except FileNotFoundError:
                return

    def folder(self, name: str) -> Place:
        """A folder inside this one."""
        return Place(f"{self.url.rstrip('/')}/{name}", self._store, self.path(name))

    @property
    def _is_local(self) -> bool:
        return self.url.startswith("file://")

    def _parent(self, name: str) -> str:
        return self.path(name).rpartition("/")[0]

    @contextmanager
    def refusals(self, what: str) -> Iterator[None]:
        """Turns what a store refuses into `StateError` with the store's own words."""
        try:
            yield
        except Exception as error:
            # Each store's client has exceptions of its own, and only their module tells that they are the store's.
            ours = type(error).__module__.startswith(("gcsfs", "botocore", "aiobotocore", "aiohttp", "google.auth"))
            if not ours and not isinstance(error, OSError):
                raise
            raise StateError(f"{what} at {self.url} failed: {_first_line(error)}", next_command=_next(self.url)) from (
                error
            )


def open_place(url: str) -> Place:
    """The place that an address names; raises `InputError` for another kind of address."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES or not rest.strip("/"):
        raise InputError(f"address '{url}' given; expected gs://BUCKET/PATH, s3://BUCKET/PATH or file:///PATH.")
    # Read when gcsfs is imported. Otherwise it asks Google before every operation which kind of bucket this is, on a
    # second channel with rights of its own, and warns each time where it may not know.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    import fsspec

    store, root = fsspec.url_to_fs(url.rstrip("/"), use_listings_cache=False)
    return Place(url.rstrip("/"), store, root)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no reason given'}"


def _next(url: str) -> str:
    bucket = "/".join(url.split("/")[:3])
    return {
        "gs": f"gcloud storage ls {bucket}",
        "s3": f"aws s3 ls {bucket}",
    }.get(url.partition(":")[0], f"ls {url.removeprefix('file://')}")
