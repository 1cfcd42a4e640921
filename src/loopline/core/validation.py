"""Validation errors as sentences: where, what was given, what was expected, and the name that was probably meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from loopline.core.errors import ConfigError, LooplineError, closest

M = TypeVar("M", bound=BaseModel)


def validated(kind: type[M], value: Mapping[str, Any], *, where: str = "") -> M:
    """The model that the value describes; `where` is the dotted place of the value, for the sentence.

    Raises `ConfigError` with one sentence per problem, or the first error of ours that a validator raised.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        sentences = []
        for item in error.errors():
            cause = item.get("ctx", {}).get("error")
            if isinstance(cause, LooplineError):
                raise cause from None
            sentences.append(_sentence(kind, where, item["loc"], item["type"], item["msg"], item.get("input")))
        raise ConfigError(" ".join(sentences)) from None


def _sentence(
    kind: type[BaseModel], where: str, loc: tuple[int | str, ...], problem: str, message: str, given: Any
) -> str:
    place = ".".join([*([where] if where else []), *map(str, loc)])
    if not loc and problem == "value_error":
        # Several keys that do not fit each other; all that was given is too much to show, and may hold a password.
        said = message.removeprefix("Value error, ")
        return f"{place}: {said}." if place else f"{said}."
    if problem == "extra_forbidden":
        known = _fields_at(kind, loc[:-1])
        guess = closest(str(loc[-1]), known)
        hint = f" Did you mean '{'.'.join([*place.split('.')[:-1], guess])}'?" if guess else ""
        return f"unknown key '{place}'; known here: {', '.join(sorted(known))}.{hint}"
    if problem == "missing":
        return f"key '{place}' is missing."
    return f"{place}: {given!r} given; {message[0].lower()}{message[1:]}."


def _fields_at(kind: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that the model knows at a place inside it."""
    for part in loc:
        field = kind.model_fields.get(str(part))
        models = [] if field is None else [field.annotation, *get_args(field.annotation)]
        inner = next((m for m in models if isinstance(m, type) and issubclass(m, BaseModel)), None)
        if inner is None:
            return []
        kind = inner
    return list(kind.model_fields)
