"""`models`: what is registered."""

from __future__ import annotations

from loopline.aliases import list_versions
from loopline.core.errors import UnknownName
from loopline.core.records import ModelVersion
from loopline.core.workspace import Workspace


def models(name: str | None = None, *, workspace: Workspace | None = None) -> list[ModelVersion]:
    """The versions of model `name`, or of all models, with the aliases that point to them, by name and number.

    Raises `UnknownName` for a model that does not exist.
    """
    workspace = workspace or Workspace.default()
    versions = list_versions(workspace, name=name)
    if name is not None and not versions:
        known = {version.name for version in list_versions(workspace)}
        raise UnknownName("model", name, known, next_command=f"loopline register BUNDLE --name {name}")
    return versions
