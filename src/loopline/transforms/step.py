"""What every transform is: a frozen set of validated parameters that is called with what it transforms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from loopline.core.errors import ConfigError, closest
from loopline.core.records import TransformStep
from loopline.core.tables import resolve


class Transform(BaseModel):
    """The parameters of a transform; unknown ones are refused, numbers in strings too, so that JSON means one thing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


T = TypeVar("T", bound=Transform)


def build_transform(table: Mapping[str, str], step: TransformStep) -> Transform:
    """The transform that a step names, with its parameters checked.

    Raises `UnknownName` for a name that is not in the table and `ConfigError` for an unknown or wrong parameter.
    """
    kind: type[Transform] = resolve(table, step.name, kind="transform")
    # JSON has no tuples and strict validation takes no list for one: read the parameters as JSON would bring them.
    params = {key: tuple(value) if isinstance(value, list) else value for key, value in step.params.items()}
    try:
        return kind.model_validate(params)
    except ValidationError as error:
        raise ConfigError(f"transform '{step.name}': {_problems(error, kind)}.") from None


def describe(name: str, transform: Transform) -> TransformStep:
    """The step that builds this transform again, with every default written out."""
    return TransformStep(name=name, params=transform.model_dump(mode="json"))


def _problems(error: ValidationError, kind: type[Transform]) -> str:
    return "; ".join(
        _problem(".".join(map(str, item["loc"])), item["type"], item["msg"], kind) for item in error.errors()
    )


def _problem(key: str, error_type: str, message: str, kind: type[Transform]) -> str:
    if error_type != "extra_forbidden":
        return f"{key}: {message}" if key else message
    known = list(kind.model_fields)
    guess = closest(key, known)
    hint = f"; did you mean '{guess}'?" if guess else ""
    return f"unknown parameter '{key}', known: {', '.join(known)}{hint}"
