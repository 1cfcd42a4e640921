"""What an alias pointed to, when, by whom and why: one tag per move on the registered model, none ever changed.

The tag of a move is `loopline.history/ALIAS/0001` and so on, its value the `AliasMove` as JSON, so that MLflow's page
shows the story too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from loopline.aliases import TAG_PREFIX, model_tags
from loopline.core.errors import IntegrityError
from loopline.core.records import AliasMove
from loopline.core.workspace import Workspace
from loopline.registry.listing import models

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# A tag of MLflow holds 5,000 characters; the rest of a move takes about 200.
REASON_LENGTH = 4_000
_PREFIX = f"{TAG_PREFIX}history/"


def history(name: str, *, workspace: Workspace | None = None) -> dict[str, list[AliasMove]]:
    """By alias, every move that it ever made, oldest first. Raises `UnknownName` for a model that does not exist."""
    workspace = workspace or Workspace.default()
    models(name, workspace=workspace)
    moves: dict[str, list[AliasMove]] = {}
    for key, text in sorted(model_tags(name, workspace).items()):
        if not key.startswith(_PREFIX):
            continue
        try:
            move = AliasMove.model_validate_json(text)
        except ValidationError as error:
            raise IntegrityError(f"tag '{key}' of model '{name}' is no move of an alias.") from error
        moves.setdefault(key.removeprefix(_PREFIX).partition("/")[0], []).append(move)
    return moves


def append_move(client: MlflowClient, name: str, alias: str, move: AliasMove, *, workspace: Workspace) -> None:
    """Adds a move behind those that are there."""
    number = len(history(name, workspace=workspace).get(alias, [])) + 1
    client.set_registered_model_tag(name, f"{_PREFIX}{alias}/{number:04d}", move.model_dump_json())
