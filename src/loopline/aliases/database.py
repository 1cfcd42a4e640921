"""MLflow's registry in a SQLite file: the one module that knows the names of its tables."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from loopline.aliases.row import VersionRow
from loopline.core.errors import IntegrityError, StateError

# How long a reader waits for a writer.
PATIENCE_S = 10.0
# One statement sees one state of the registry, whatever is promoted meanwhile. MLflow keeps the row of a version that
# was deleted, with its tags, under this stage.
_VERSIONS = """
SELECT name, version, creation_time, source,
       (SELECT json_group_array(alias) FROM registered_model_aliases AS a
        WHERE a.name = v.name AND a.version = v.version),
       (SELECT json_group_object(key, value) FROM model_version_tags AS t
        WHERE t.name = v.name AND t.version = v.version)
FROM model_versions AS v
WHERE current_stage <> 'Deleted_Internal' AND (:name IS NULL OR name = :name)
ORDER BY name, version
"""
_MODEL_TAGS = "SELECT key, value FROM registered_model_tags WHERE name = :name"


def read_rows(database: str, name: str | None) -> list[VersionRow]:
    """The versions of all models, or of one, by name and number; none where there is no file yet."""
    return [
        VersionRow(model, int(number), created_at_ms, source, tuple(json.loads(aliases)), json.loads(tags))
        for model, number, created_at_ms, source, aliases, tags in _select(Path(database), _VERSIONS, name)
    ]


def read_tags(database: str, name: str) -> dict[str, str]:
    """The tags of a registered model; none where it does not exist."""
    return dict(_select(Path(database), _MODEL_TAGS, name))


def _select(database: Path, statement: str, name: str | None) -> list[tuple[Any, ...]]:
    """Raises `IntegrityError` where the file is no database of MLflow 3, `StateError` where it stays locked."""
    if not database.is_file():
        return []
    # Not `mode=ro`: a writer that was killed leaves a journal, which whoever reads next must be allowed to roll back.
    # `query_only` refuses every write of ours, and a file that cannot be written is read all the same.
    address = f"{database.resolve().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=PATIENCE_S)) as connection:
            connection.execute("PRAGMA query_only = ON")
            return connection.execute(statement, {"name": name}).fetchall()
    except sqlite3.DatabaseError as error:
        raise _refusal(database, error) from error


def _refusal(database: Path, error: sqlite3.DatabaseError) -> StateError | IntegrityError:
    sentence = str(error)
    if "locked" in sentence:
        return StateError(f"the registry '{database}' is in use by another process ({sentence}).")
    if "no such" in sentence:
        return IntegrityError(
            f"'{database}' is no registry that Loopline can read ({sentence}); expected the tables of MLflow 3.",
            next_command=f"mlflow db upgrade sqlite:///{database}",
        )
    return IntegrityError(f"'{database}' cannot be read as a SQLite database: {sentence}.")
