"""What bodies may hold: so many bytes in work at once, and JSON with what was asked for and nothing else."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from loopline.serving.refusals import invalid, memory_full, wrong_type

B = TypeVar("B", bound=BaseModel)

MULTIPART, JSON = "multipart/form-data", "application/json"
# A parsed number or list costs many times its text, and parsing holds up every other thread: JSON is for small arrays.
# 400×400 pixels in three channels pass.
MAX_JSON_VALUES = 500_000
# Browsers and proxies pass on little more of an address.
MAX_URL_BYTES = 8_000


class PendingBytes:
    """How many bytes of bodies are in work; what a server holds in memory is bounded, however many ask at once."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.num_bytes = 0

    def take(self, num_bytes: int) -> None:
        """Counts more; raises a 429 where they would be too many."""
        if self.num_bytes + num_bytes > self._max_bytes:
            raise memory_full(self._max_bytes)
        self.num_bytes += num_bytes

    def give_back(self, num_bytes: int) -> None:
        """Counts as many less."""
        self.num_bytes -= num_bytes


def read_json(body: bytes, content_type: str, kind: type[B]) -> B:
    """A JSON body as `kind`; raises a 415 for another type and a 422 that names each wrong field."""
    given = media_type(content_type)
    if given != JSON:
        raise wrong_type(given, JSON)
    return parse_json(body, kind)


def media_type(content_type: str) -> str:
    """The header's value without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def parse_json(body: bytes, kind: type[B]) -> B:
    """A body as `kind`; raises a 422 that names each wrong field."""
    # Every value but the first of its list or object follows a comma, every list a bracket: counting costs nothing.
    if body.count(b",") + body.count(b"[") > MAX_JSON_VALUES:
        raise invalid(f"the body holds more than {MAX_JSON_VALUES:,} values, which is the limit.")
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise invalid("the body is nested too deeply; expected an object.", code="invalid_json") from None
    except ValueError as error:
        raise invalid(f"the body is not JSON: {error}.", code="invalid_json") from None
    if b"\\u" in body and not _is_text(value):
        raise invalid("the body holds half of a surrogate pair, which is no character.", code="invalid_json")
    if not isinstance(value, dict):
        fields = ", ".join(kind.model_fields)
        raise invalid(f"the body is a JSON {type(value).__name__}; expected an object with {fields}.")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problems = [_problem(item["type"], item["loc"], item["msg"], kind) for item in error.errors()]
        raise invalid("; ".join(problems) + ".") from None


def _is_text(value: Any) -> bool:
    """False where a text of the value holds what no encoding can: an escape may spell half of a character."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _problem(problem: str, loc: tuple[int | str, ...], message: str, kind: type[BaseModel]) -> str:
    """One problem in words; what was given stays out of it, for it may be long or private."""
    place = ".".join(map(str, loc))[:100]
    if problem == "extra_forbidden":
        return f"unknown field '{place}' given; expected {', '.join(kind.model_fields)}"
    if problem == "missing":
        return f"field '{place}' is missing"
    message = message.removeprefix("Value error, ")
    return f"field '{place}': {message[0].lower()}{message[1:]}" if place else message
