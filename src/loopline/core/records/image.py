"""`ContextProblem` and `ImageBuild`: what must not go into an image, and what became of a build."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from loopline.core.records.record import Record, Time


class ContextProblem(Record):
    """Something in a build's context that must not leave this machine, and the line that keeps it out."""

    kind: Literal["secret", "confidential", "history", "data", "large"]
    # From the context's root; a folder ends with a slash.
    path: str
    sentence: str
    ignore_line: str


class ImageBuild(Record):
    """An image that was built: by which engine, for which processor, how large."""

    schema_version: Literal[1] = 1
    kind: Literal["train", "serve"]
    tag: str
    engine: str
    platform: str
    revision: str
    bundle_digest: str | None = None
    num_context_files: int = Field(ge=0)
    context_bytes: int = Field(ge=0)
    # Uncompressed; None where the engine does not say.
    image_bytes: int | None = Field(default=None, ge=0)
    seconds: float = Field(ge=0)
    created_at: Time
