"""`promote` and `rollback`: which version an alias points to, and through which gate it got there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from loopline.aliases import DEFAULT_ALIAS, TAG_PREFIX, list_versions, resolve_version
from loopline.core.errors import GateRefused, InputError, IntegrityError, StateError
from loopline.core.records import AliasMove, ModelVersion, PairedComparison, utc_now
from loopline.core.store import lock
from loopline.core.workspace import Workspace
from loopline.registry.client import open_client
from loopline.registry.registration import check_name, registry_lock, user_name

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

Kind = Literal["promote", "rollback"]

_HISTORY_TAG = TAG_PREFIX + "history."
# A tag of a registered model holds 5,000 characters; a move takes about 200, so the oldest make room.
_HISTORY_MOVES = 20
_REASON_LENGTH = 120


def promote(
    reference: str,
    alias: str = DEFAULT_ALIAS,
    *,
    workspace: Workspace,
    verdict: PairedComparison | None = None,
    force_reason: str | None = None,
) -> ModelVersion:
    """Points `alias` at the version that `reference` names, and keeps who did it, when, from where and why.

    Where the alias points at another version already, `verdict` (this version against that one, on the same examples)
    must say that it is not worse, or `force_reason` must say why it goes on all the same; else raises `GateRefused`.
    """
    check_name(alias, kind="alias")
    if alias.isdecimal():
        raise InputError(f"alias '{alias}' given; expected a word, because a number names a version.")
    if force_reason is not None and not force_reason.strip():
        raise InputError("an empty reason was given; expected a sentence that says why the gate is passed by.")
    with lock(registry_lock(workspace), holder="the registry", timeout_s=60):
        version = resolve_version(reference, workspace)
        holder = alias_holder(version.name, alias, workspace)
        if holder is not None and holder.number == version.number:
            return version
        reason = _reason(version, holder, alias, verdict=verdict, force_reason=force_reason)
        client = open_client(workspace)
        _move(client, version.name, alias, source=holder, target=version, reason=reason)
        client.set_model_version_tag(version.name, str(version.number), TAG_PREFIX + "reason", reason)
    return resolve_version(version.reference, workspace)


def rollback(name: str, alias: str = DEFAULT_ALIAS, *, workspace: Workspace) -> ModelVersion:
    """Points `alias` back at the version that it pointed to before; again, one further back.

    Raises `UnknownName` for a model or alias that does not exist, `StateError` where there is nothing to go back to.
    """
    with lock(registry_lock(workspace), holder="the registry", timeout_s=60):
        holder = resolve_version(f"{name}@{alias}", workspace)
        client = open_client(workspace)
        # Walk back through the moves, taking each rollback together with the promotion that it undid.
        stack: list[AliasMove] = []
        for move in alias_history(client, name, alias):
            if move.kind == "promote":
                stack.append(move)
            elif stack:
                stack.pop()
        previous = next((move.from_number for move in reversed(stack) if move.to_number == holder.number), None)
        if previous is None:
            raise StateError(
                f"alias '{alias}' of model '{name}' points to version {holder.number} and has no version before it.",
                next_command=f"loopline promote {name}@NUMBER {alias}",
            )
        target = resolve_version(f"{name}@{previous}", workspace)
        reason = f"rolled back from version {holder.number}"
        _move(client, name, alias, source=holder, target=target, reason=reason, kind="rollback")
    return resolve_version(target.reference, workspace)


def alias_holder(name: str, alias: str, workspace: Workspace) -> ModelVersion | None:
    """The version that an alias points to now, or None."""
    return next((version for version in list_versions(workspace, name=name) if alias in version.aliases), None)


def alias_history(client: MlflowClient, name: str, alias: str) -> list[AliasMove]:
    """The moves of an alias, oldest first, as far as they are kept (the last 20)."""
    text = client.get_registered_model(name).tags.get(_HISTORY_TAG + alias, "[]")
    try:
        return [AliasMove.model_validate(item) for item in json.loads(text)]
    except (ValueError, ValidationError) as error:
        raise IntegrityError(f"the history of alias '{alias}' of model '{name}' cannot be read: {error}") from error


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
        return f"forced: {force_reason.strip()}"
    if holder is None:
        return f"the first {alias}"
    if verdict is not None and verdict.not_worse:
        return f"not worse than version {holder.number}: {describe_verdict(verdict)}"
    figures = "was not compared with it" if verdict is None else f"is worse: {describe_verdict(verdict)}"
    raise GateRefused(
        f"{version.reference} cannot replace version {holder.number} as {alias}: it {figures}.",
        next_command=f"loopline promote {version.reference} {alias} --force 'why it should go on all the same'",
    )


def describe_verdict(verdict: PairedComparison) -> str:
    """The figures of a comparison, in points of accuracy."""
    return (
        f"accuracy {verdict.difference * 100:+.2f} points, 95% interval {verdict.low * 100:+.2f} to "
        f"{verdict.high * 100:+.2f}, {verdict.num_examples:,} examples, {verdict.margin * 100:.2g} may be lost"
    )


def _move(
    client: MlflowClient,
    name: str,
    alias: str,
    *,
    source: ModelVersion | None,
    target: ModelVersion,
    reason: str,
    kind: Kind = "promote",
) -> None:
    moves = alias_history(client, name, alias)
    last = moves[-1].to_number if moves else None
    came_from = None if source is None else source.number
    if last != came_from and came_from is not None:
        # Somebody moved the alias without us, in MLflow's page say: keep that too, so that the chain has no gap.
        moves.append(_alias_move("promote", last, came_from, "moved outside Loopline", who=""))
    moves.append(_alias_move(kind, came_from, target.number, reason, who=user_name()))
    kept = [move.model_dump(mode="json") for move in moves[-_HISTORY_MOVES:]]
    # The alias last: a process killed in between leaves a promotion that did not happen, not one that nobody knows of.
    client.set_registered_model_tag(name, _HISTORY_TAG + alias, json.dumps(kept, separators=(",", ":")))
    client.set_registered_model_alias(name, alias, str(target.number))


def _alias_move(kind: Kind, source: int | None, target: int, reason: str, *, who: str) -> AliasMove:
    return AliasMove(
        kind=kind, from_number=source, to_number=target, at=utc_now(), who=who, reason=reason[:_REASON_LENGTH]
    )
