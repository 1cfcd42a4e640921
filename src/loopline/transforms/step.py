"""What every transform is: a frozen set of validated parameters that is called with what it transforms."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from loopline.core.records import TransformStep
from loopline.core.tables import resolve
from loopline.core.validation import validated


class Transform(BaseModel):
    """The parameters of a transform; unknown ones are refused, numbers in strings too, so that JSON means one thing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def build_transform(table: Mapping[str, str], step: TransformStep) -> Transform:
    """The transform that a step names, with its parameters checked.

    Raises `UnknownName` for a name that is not in the table and `ConfigError` for an unknown or wrong parameter.
    """
    kind: type[Transform] = resolve(table, step.name, kind="transform")
    # JSON has no tuples, and strict validation takes no list for one.
    params = {key: tuple(value) if isinstance(value, list) else value for key, value in step.params.items()}
    return validated(kind, params, where=step.name)


def describe(name: str, transform: Transform) -> TransformStep:
    """The step that builds this transform again, with every default written out."""
    return TransformStep(name=name, params=transform.model_dump(mode="json"))
