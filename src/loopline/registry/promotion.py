"""`promote` and `rollback`: which version an alias points to, and through which gate it got there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from loopline.aliases import DEFAULT_ALIAS, TAG_PREFIX, check_name, list_versions, resolve_version
from loopline.core.errors import GateRefused, InputError, StateError
from loopline.core.records import AliasMove, ModelVersion, PairedComparison, utc_now
from loopline.core.workspace import Workspace
from loopline.registry.client import registry_client, registry_lock, user_name
from loopline.registry.history import REASON_LENGTH, append_move, history

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

Kind = Literal["promote", "rollback"]


def promote(
    reference: str,
    alias: str = DEFAULT_ALIAS,
    *,
    workspace: Workspace | None = None,
    verdict: PairedComparison | None = None,
    champion_number: int | None = None,
    force_reason: str | None = None,
) -> ModelVersion:
    """Points `alias` at the version that `reference` names, and keeps who did it, when, from where and why.

    Where the alias points at another version already, `verdict` (this version against version `champion_number`, on
    the same examples) must say that it is not worse, or `force_reason` must say why it goes on all the same; else
    raises `GateRefused`. Raises `StateError` where the alias moved since the comparison was made.
    """
    workspace = workspace or Workspace.default()
    _check_alias(alias)
    if force_reason is not None and not force_reason.strip():
        raise InputError("an empty reason was given; expected a sentence that says why the gate is passed by.")
    with registry_lock(workspace):
        version = resolve_version(reference, workspace)
        holder = alias_holder(version.name, alias, workspace)
        if holder is not None and holder.number == version.number:
            return version
        if verdict is not None and holder is not None and champion_number not in (None, holder.number):
            raise StateError(
                f"alias '{alias}' moved to version {holder.number} since {version.reference} was compared with version "
                f"{champion_number}.",
                next_command=f"loopline promote {version.reference} {alias}",
            )
        reason = _reason(version, holder, alias, verdict=verdict, force_reason=force_reason)
        with registry_client(workspace) as client:
            _note_stranger(client, version.name, alias, holder, workspace=workspace)
            move = _new_move("promote", holder, version, reason)
            append_move(client, version.name, alias, move, workspace=workspace)
            # The alias after its history: a process killed in between leaves a promotion that did not happen, not one
            # that nobody knows of.
            client.set_registered_model_alias(version.name, alias, str(version.number))
            client.set_model_version_tag(version.name, str(version.number), f"{TAG_PREFIX}reason", reason)
    return resolve_version(version.reference, workspace)


def rollback(name: str, alias: str = DEFAULT_ALIAS, *, workspace: Workspace | None = None) -> ModelVersion:
    """Points `alias` back at the version that it pointed to before; again, one further back.

    A version that was deleted meanwhile is passed over. Raises `UnknownName` for a model or alias that does not exist,
    `StateError` where there is nothing to go back to.
    """
    workspace = workspace or Workspace.default()
    with registry_lock(workspace):
        holder = resolve_version(f"{name}@{alias}", workspace)
        existing = {version.number: version for version in list_versions(workspace, name=name)}
        with registry_client(workspace) as client:
            _note_stranger(client, name, alias, holder, workspace=workspace)
            before = _before(history(name, workspace=workspace)[alias])
            target = next((existing[number] for number in reversed(before) if number in existing), None)
            if target is None:
                raise StateError(
                    f"alias '{alias}' of model '{name}' is at version {holder.number} and has no version before it.",
                    next_command=f"loopline promote {name}@NUMBER {alias}",
                )
            move = _new_move("rollback", holder, target, f"rolled back from version {holder.number}")
            append_move(client, name, alias, move, workspace=workspace)
            client.set_registered_model_alias(name, alias, str(target.number))
    return resolve_version(target.reference, workspace)


def alias_holder(name: str, alias: str, workspace: Workspace) -> ModelVersion | None:
    """The version that an alias points to now, or None."""
    return next((version for version in list_versions(workspace, name=name) if alias in version.aliases), None)


def _check_alias(alias: str) -> None:
    check_name(alias, kind="alias")
    # MLflow keeps `latest` and `v3` for itself, and `fashion@3` means a number here.
    if alias.lower() == "latest" or re.fullmatch(r"[vV]?[0-9]+", alias):
        raise InputError(f"alias '{alias}' given; expected a word other than 'latest' or a number of a version.")


def _reason(
    version: ModelVersion,
    holder: ModelVersion | None,
    alias: str,
    *,
    verdict: PairedComparison | None,
    force_reason: str | None,
) -> str:
    """Why the promotion passes; raises `GateRefused` where it does not."""
    if force_reason is not None:
        return f"forced: {force_reason.strip()}"[:REASON_LENGTH]
    if holder is None:
        return f"the first {alias}"
    if verdict is not None and verdict.not_worse:
        return f"not worse than version {holder.number}: {verdict.sentence}"
    figures = "they were not compared." if verdict is None else verdict.sentence
    raise GateRefused(
        f"{version.reference} cannot replace version {holder.number} as {alias}: {figures}",
        next_command=f"loopline promote {version.reference} {alias} --force 'why it should go on all the same'",
    )


def _before(moves: Sequence[AliasMove]) -> list[int]:
    """The versions that an alias can be rolled back to; the last of them is next.

    A promotion puts the version that it came from on a stack; a rollback takes off what it went back to, with those
    that were deleted above it.
    """
    stack: list[int] = []
    for move in moves:
        if move.kind == "rollback":
            while stack and stack.pop() != move.to_number:
                pass
        elif move.from_number is not None:
            stack.append(move.from_number)
    return stack


def _note_stranger(
    client: MlflowClient, name: str, alias: str, holder: ModelVersion | None, *, workspace: Workspace
) -> None:
    """Keeps in the history that somebody moved the alias without us, in MLflow's page say."""
    last = next(reversed(history(name, workspace=workspace).get(alias, [])), None)
    if holder is None or (last is not None and last.to_number == holder.number):
        return
    # Back where the last promotion came from: undone by somebody, or cut short before it moved the alias.
    kind: Kind = "rollback" if last and last.kind == "promote" and last.from_number == holder.number else "promote"
    move = AliasMove(
        kind=kind,
        from_number=last.to_number if last else None,
        to_number=holder.number,
        at=utc_now(),
        who="unknown",
        reason="found here: moved outside Loopline, or by a command that was cut short",
    )
    append_move(client, name, alias, move, workspace=workspace)


def _new_move(kind: Kind, holder: ModelVersion | None, target: ModelVersion, reason: str) -> AliasMove:
    return AliasMove(
        kind=kind,
        from_number=holder.number if holder else None,
        to_number=target.number,
        at=utc_now(),
        who=user_name(),
        reason=reason,
    )
