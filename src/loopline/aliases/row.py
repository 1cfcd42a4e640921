"""A model version as MLflow keeps it, wherever it was read, and the record that it becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from loopline.core.records import ModelVersion

# A registered model is an MLflow model folder; the bundle lies inside it, so that nothing unlisted lies in the bundle.
BUNDLE_FOLDER = "bundle"
TAG_PREFIX = "loopline."


class VersionRow(NamedTuple):
    """One version with all that MLflow's tables say of it."""

    name: str
    number: int
    # Milliseconds since 1970, in UTC.
    created_at_ms: int
    # The model folder's path or URI.
    source: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]


def is_ours(row: VersionRow) -> bool:
    """False for a version that another program registered: it has no tags of ours, and no bundle."""
    return f"{TAG_PREFIX}bundle_digest" in row.tags


def to_version(row: VersionRow) -> ModelVersion:
    """The record of a row that is ours."""
    tags = {key.removeprefix(TAG_PREFIX): value for key, value in row.tags.items() if key.startswith(TAG_PREFIX)}
    return ModelVersion(
        name=row.name,
        number=row.number,
        bundle_digest=tags["bundle_digest"],
        source=f"{row.source.rstrip('/')}/{BUNDLE_FOLDER}",
        aliases=tuple(sorted(row.aliases)),
        run_id=tags.get("run_id"),
        metrics=json.loads(tags.get("metrics", "{}")),
        created_by=tags.get("created_by", ""),
        created_at=datetime.fromtimestamp(row.created_at_ms / 1000, UTC),
        reason=tags.get("reason", ""),
    )
