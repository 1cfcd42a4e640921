"""Who is `fashion@champion`? Reads MLflow's registry with SQLite alone, because serving has no MLflow.

This is the one module that knows MLflow's table names. It reads, in a read-only connection, what the `registry` stage
writes through MLflow's own client; a test holds the two against each other.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loopline.core.errors import InputError, IntegrityError, UnknownName
from loopline.core.records import ModelVersion
from loopline.core.workspace import Workspace

DEFAULT_ALIAS = "champion"
# A registered model is an MLflow model folder; the bundle lies inside it, so that nothing unlisted lies in the bundle.
BUNDLE_FOLDER = "bundle"
TAG_PREFIX = "loopline."

_VERSIONS = "SELECT name, version, creation_time, source FROM model_versions ORDER BY name, version"
_ALIASES = "SELECT name, version, alias FROM registered_model_aliases ORDER BY alias"
_TAGS = "SELECT name, version, key, value FROM model_version_tags WHERE key LIKE 'loopline.%'"


def resolve_version(reference: str, workspace: Workspace) -> ModelVersion:
    """The version that `name@alias`, `name@number` or `name` (its champion) stands for.

    Raises `InputError` for another form and `UnknownName` for a model, alias or number that does not exist.
    """
    name, selector = parse_reference(reference)
    versions = list_versions(workspace)
    models = sorted({version.name for version in versions})
    if name not in models:
        raise UnknownName("model", name, models, next_command=f"loopline register BUNDLE --name {name}")
    own = [version for version in versions if version.name == name]
    if selector.isdecimal():
        matches = [version for version in own if version.number == int(selector)]
        known, kind = [str(version.number) for version in own], "version"
    else:
        matches = [version for version in own if selector in version.aliases]
        known, kind = sorted(alias for version in own for alias in version.aliases), "alias"
    if not matches:
        raise UnknownName(f"{kind} of model '{name}'", selector, known, next_command=f"loopline models {name}")
    return matches[0]


def parse_reference(reference: str) -> tuple[str, str]:
    """`fashion@3` or `fashion@champion` as (name, number or alias); `fashion` alone means its champion."""
    name, separator, selector = reference.partition("@")
    if not name or (separator and not selector) or "@" in selector:
        raise InputError(f"'{reference}' given; expected NAME@ALIAS or NAME@NUMBER.", next_command="loopline models")
    return name, selector or DEFAULT_ALIAS


def list_versions(workspace: Workspace, *, name: str | None = None) -> list[ModelVersion]:
    """Every version with the aliases that point to it now, by name and number; none where nothing was registered."""
    if not workspace.tracking_db.is_file():
        return []
    with _reading(workspace.tracking_db) as connection:
        aliases: dict[tuple[str, int], list[str]] = {}
        for model, number, alias in connection.execute(_ALIASES):
            aliases.setdefault((model, int(number)), []).append(alias)
        tags: dict[tuple[str, int], dict[str, str]] = {}
        for model, number, key, value in connection.execute(_TAGS):
            tags.setdefault((model, int(number)), {})[key.removeprefix(TAG_PREFIX)] = value
        # A version without our tags was registered by another program and holds no bundle.
        return [
            _version(row, aliases.get((row[0], int(row[1])), []), tags[(row[0], int(row[1]))])
            for row in connection.execute(_VERSIONS)
            if "bundle_digest" in tags.get((row[0], int(row[1])), {}) and name in (None, row[0])
        ]


def _version(row: tuple[Any, ...], aliases: list[str], tags: dict[str, str]) -> ModelVersion:
    name, number, created_ms, source = row
    return ModelVersion(
        name=name,
        number=int(number),
        bundle_digest=tags["bundle_digest"],
        source=str(Path(source) / BUNDLE_FOLDER),
        aliases=tuple(aliases),
        run_id=tags.get("run_id"),
        metrics=json.loads(tags.get("metrics", "{}")),
        created_by=tags.get("created_by", ""),
        created_at=datetime.fromtimestamp(created_ms / 1000, UTC),
        reason=tags.get("reason", ""),
    )


@contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            raise IntegrityError(
                f"'{database}' is no registry that Loopline can read ({error}); expected MLflow 3's tables.",
                next_command=f"mlflow db upgrade sqlite:///{database}",
            ) from error
        raise IntegrityError(f"'{database}' cannot be read as a SQLite database: {error}.") from error
