"""What requests hold, by input kind: from a body to one example that the predictor takes.

Pictures, bands, rows of numbers and a project's own kinds come as files or as JSON; texts as JSON alone. Whatever the
kind, an example is decoded in a thread, by the predictor.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from loopline.core.errors import InvalidExample
from loopline.core.records import Record
from loopline.core.store import digest_bytes
from loopline.predictor.answer import PredictorLike
from loopline.serving.multipart import File, parse_files
from loopline.serving.reading import JSON, MULTIPART, media_type, parse_json
from loopline.serving.refusals import LOOK_AT_DOCS, Refusal, no_example, text_too_long, wrong_type
from loopline.serving.schemas import PictureBody, TextBody, ValuesBody

IMAGE, TEXT, VALUES = "image", "text", "values"
# What a body of JSON looks like; every other kind is numbers.
_JSON_BODIES: dict[str, type[Record]] = {IMAGE: PictureBody, TEXT: TextBody}
# What a caller can do about an example that is none; for every other kind the documents say it.
_ADVICE = {IMAGE: "check that the file opens in a picture viewer"}
_SEVERAL = "POST /predict/batch takes several examples"


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """An example with the bytes it came as: the file's, the text's, or the JSON body's where it came as numbers."""

    raw: bytes
    digest: str
    # As the predictor takes it: an array, or tokens.
    sample: Any


# From the predictor that will answer, for each decodes in its own way; runs in a thread, and may raise `InvalidExample`
# or a `Refusal`.
Decode = Callable[[PredictorLike], Decoded]


def json_body(input_kind: str) -> type[Record]:
    """The schema of a JSON body of /predict."""
    return _JSON_BODIES.get(input_kind, ValuesBody)


def known_refusal(error: Exception, input_kind: str) -> Refusal | None:
    """What an error says to whoever sent an input of that kind; None for one that is no refusal of ours."""
    if isinstance(error, InvalidExample):
        return no_example(error, _ADVICE.get(input_kind, LOOK_AT_DOCS))
    return error if isinstance(error, Refusal) else None


def body_decoder(body: bytes, content_type: str, *, max_files: int) -> Decode:
    """What decodes the body of /predict, of any kind but text: one file, several files of one example, or JSON."""
    kind = media_type(content_type)
    if kind == JSON:
        return lambda predictor: _decode_json(body, predictor)
    if kind != MULTIPART:
        raise wrong_type(kind, f"{MULTIPART} with a field 'file', or {JSON}")

    def decode(predictor: PredictorLike) -> Decoded:
        return _decode_files(parse_files(body, content_type, field="file", max_files=max_files), predictor)

    return decode


def file_decoder(raw: bytes) -> Decode:
    """What decodes the bytes of a file that is one example."""
    return lambda predictor: Decoded(raw, digest_bytes(raw), predictor.decode(raw))


def text_decoder(text: str, *, max_chars: int) -> Decode:
    """What decodes a text of at most so many characters."""

    def decode(predictor: PredictorLike) -> Decoded:
        if len(text) > max_chars:
            raise text_too_long(len(text), max_chars)
        try:
            raw = text.encode()
        except UnicodeEncodeError:
            raise InvalidExample("half of a surrogate pair given, which is no character; expected text.") from None
        return Decoded(raw, digest_bytes(raw), predictor.from_array(text))

    return decode


def _decode_files(files: Sequence[File], predictor: PredictorLike) -> Decoded:
    try:
        raw = predictor.join(files)
    except InvalidExample as error:
        if len(files) > 1 and error.next_command is None:
            raise InvalidExample(error.message, next_command=_SEVERAL) from None
        raise
    return file_decoder(raw)(predictor)


def _decode_json(body: bytes, predictor: PredictorLike) -> Decoded:
    if predictor.bundle.input_kind == IMAGE:
        picture = parse_json(body, PictureBody)
        if picture.image is not None:
            return file_decoder(_from_base64(picture.image))(predictor)
        values = picture.pixels
    else:
        values = parse_json(body, ValuesBody).values
    return Decoded(body, digest_bytes(body), predictor.from_array(values))


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidExample("'image' is not base64; expected the bytes of a picture file in base64.") from None
