"""From a request's body to a picture: multipart or JSON, and nothing that was not asked for.

Reading is the event loop's work; decoding and parsing take long and belong into a thread.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from loopline.core.errors import InvalidExample
from loopline.core.store import digest_bytes
from loopline.predictor.answer import PredictorLike
from loopline.serving.batcher import Pixels
from loopline.serving.refusals import LOOK_AT_DOCS, Refusal, invalid, wrong_type
from loopline.serving.schemas import PredictBody

B = TypeVar("B", bound=BaseModel)
_MULTIPART, _JSON = "multipart/form-data", "application/json"


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture with the bytes it came as: the file's, or the JSON body's where it came as numbers."""

    raw: bytes
    digest: str
    x_HWC: Pixels


Decode = Callable[[], Decoded]


async def read_picture(request: Request, predictor: PredictorLike) -> Decode:
    """Reads the body of /predict; what it returns decodes it, raising `InvalidExample` or a `Refusal`."""
    kind = _content_type(request)
    if kind == _JSON:
        body = await request.body()
        return lambda: _decode_json(body, predictor)
    if kind != _MULTIPART:
        raise wrong_type(kind, f"{_MULTIPART} with a field 'file', or {_JSON}")
    files = await _read_form(request, field="file", max_files=1)
    if len(files) > 1:
        raise invalid("several fields 'file' given; expected one. POST /predict/batch takes several.")
    return decoder_of(files[0][1], predictor)


async def read_pictures(request: Request, *, max_files: int) -> list[tuple[str, bytes]]:
    """Reads the body of /predict/batch: file names and contents in their order, at most `max_files`."""
    kind = _content_type(request)
    if kind != _MULTIPART:
        raise wrong_type(kind, f"{_MULTIPART} with fields 'files'")
    files = await _read_form(request, field="files", max_files=max_files)
    if len(files) > max_files:
        raise Refusal(
            413, "too_many_files", f"more than {max_files} files given, which is the limit.", next_step="send fewer"
        )
    return files


async def read_json(request: Request, kind: type[B]) -> B:
    """Reads a small JSON body as `kind`; raises a 422 that names each wrong field."""
    given = _content_type(request)
    if given != _JSON:
        raise wrong_type(given, _JSON)
    return _parse(await request.body(), kind)


def decoder_of(raw: bytes, predictor: PredictorLike) -> Decode:
    """What decodes a file's bytes."""
    return lambda: Decoded(raw, digest_bytes(raw), predictor.decode(raw))


def _decode_json(body: bytes, predictor: PredictorLike) -> Decoded:
    parsed = _parse(body, PredictBody)
    if parsed.image is None:
        return Decoded(body, digest_bytes(body), predictor.from_array(parsed.pixels))
    try:
        raw = base64.b64decode(parsed.image, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidExample("'image' is not base64; expected the bytes of a picture file in base64.") from None
    return decoder_of(raw, predictor)()


async def _read_form(request: Request, *, field: str, max_files: int) -> list[tuple[str, bytes]]:
    """The files under `field`, of which one more than `max_files` is read; every other field is refused."""
    try:
        async with request.form(max_files=max_files + 1, max_fields=1) as form:
            for name, value in form.multi_items():
                if name != field:
                    raise invalid(f"unknown field '{name[:100]}' given; expected only '{field}'.")
                if not isinstance(value, UploadFile):
                    raise invalid(f"field '{field}' is text; expected a file (a part with a filename).")
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            if not files:
                raise invalid(f"no file given; expected one in the field '{field}'.")
            return [((file.filename or "")[:200], await file.read()) for file in files]
    except HTTPException as error:
        # The parser's words: a missing boundary, too many parts, a part that is cut off.
        raise Refusal(400, "malformed_body", f"{error.detail.rstrip('.')}.", next_step=LOOK_AT_DOCS) from None


def _parse(body: bytes, kind: type[B]) -> B:
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise invalid("the body is nested too deeply; expected an object.", code="invalid_json") from None
    except ValueError as error:
        raise invalid(f"the body is not JSON: {error}.", code="invalid_json") from None
    if not isinstance(value, dict):
        fields = ", ".join(kind.model_fields)
        raise invalid(f"the body is a JSON {type(value).__name__}; expected an object with {fields}.")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problems = [_problem(item["type"], item["loc"], item["msg"], kind) for item in error.errors()]
        raise invalid("; ".join(problems) + ".") from None


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


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
