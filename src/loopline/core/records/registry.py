"""`ModelVersion`: one bundle under a model's name."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from loopline.core.records.record import Digest, Name, Record, Time


class ModelVersion(Record):
    """A registered bundle, with the aliases that point to it now."""

    schema_version: Literal[1] = 1
    name: Name
    number: int = Field(ge=1)
    bundle_digest: Digest
    # The bundle's folder or URL.
    source: str
    aliases: tuple[Name, ...] = ()
    run_id: Name | None = None
    metrics: dict[str, float] = {}
    created_by: str = ""
    created_at: Time
    # Why it was promoted; with --force, the reason that was given.
    reason: str = ""

    @property
    def reference(self) -> str:
        """`name@number`, as the commands take it."""
        return f"{self.name}@{self.number}"


class AliasMove(Record):
    """An alias that went from one version (None: it did not exist) to another, and why."""

    kind: Literal["promote", "rollback"]
    from_number: int | None
    to_number: int = Field(ge=1)
    at: Time
    who: str
    reason: str
