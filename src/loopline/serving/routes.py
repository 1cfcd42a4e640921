"""The routes of one application: those that every model has, and those that its input kind and its task add."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException

from loopline.core.errors import InvalidExample
from loopline.serving.body import body_of
from loopline.serving.description import describe_model, limits_of
from loopline.serving.inputs import TEXT, Decode, body_decoder, file_decoder, json_body, known_refusal, text_decoder
from loopline.serving.multipart import parse_files
from loopline.serving.reading import JSON, MAX_URL_BYTES, MULTIPART, media_type, read_json
from loopline.serving.refusals import Refusal, of_status, too_many_examples, url_too_long, wrong_type
from loopline.serving.schemas import (
    ALIVE,
    BatchAnswer,
    BatchItem,
    ErrorBody,
    HealthAnswer,
    ModelAnswer,
    PredictAnswer,
    TextBody,
)
from loopline.serving.service import Given, Service

Endpoint = Callable[[Request], Awaitable[Response]]

_FILE = {"type": "string", "format": "binary"}


class _AnyText(PathConvertor):
    """The rest of an address, line breaks included, before which Starlette's own `path` ends."""

    regex = "(?s:.*)"


# How Starlette is told of a convertor: by name, for the whole process.
register_url_convertor("any_text", _AnyText())


def model_routes(service: Service) -> APIRouter:
    """All routes of the model that `service` answers with, described by the schemas of its input kind and task."""
    routes, task = APIRouter(), service.task
    kind = service.predictor.bundle.input_kind
    body = {JSON: {"schema": json_body(kind).model_json_schema()}}
    if kind == TEXT:
        either: Any = task.prediction_kind | task.batch_kind
        _post(routes, "/predict", _predict_texts, "Predict one text, or each text of a list", answer=either, body=body)
    else:
        one = {MULTIPART: _files_schema("file", {"type": "array", "items": _FILE}), **body}
        several = {MULTIPART: _files_schema("files", {"type": "array", "items": _FILE})}
        _post(routes, "/predict", _predict, "Predict one example", answer=task.prediction_kind, body=one)
        summary = "Predict several files; one that is refused does not stop the others"
        _post(routes, "/predict/batch", _predict_files, summary, answer=task.batch_kind, body=several)
    if service.predictor.bundle.task == "translation":
        routes.add_api_route(
            "/translate/{text:any_text}",
            _translate,
            summary="Translate the text in the address",
            response_model=task.prediction_kind,
            responses=refusals_of(413, 414, 422, 429, 503, 504),
            openapi_extra={"parameters": [_TEXT_PARAMETER]},
        )
    said = {JSON: {"schema": task.feedback_kind.model_json_schema()}}
    _post(routes, "/feedback", _feedback, "Tell what became known of an answer", answer=task.kept_kind, body=said)
    routes.include_router(_COMMON)
    if service.settings.metrics:
        routes.add_api_route(
            "/metrics", _metrics, summary="Metrics in Prometheus' text format", response_class=Response
        )
    return routes


_TEXT_PARAMETER = {"name": "text", "in": "path", "required": True, "schema": {"type": "string"}}
_COMMON = APIRouter()


@_COMMON.get("/model", summary="The model that answers: names, signature, card, limits", response_model=ModelAnswer)
async def _model(request: Request) -> Response:
    return json_response(await asyncio.to_thread(describe_model, _service(request)))


@_COMMON.get("/healthz", summary="Is the process alive?", response_model=HealthAnswer)
async def _healthz() -> Response:
    return json_response(ALIVE)


@_COMMON.get(
    "/readyz",
    summary="Were the reference inputs predicted as they should be?",
    response_model=HealthAnswer,
    responses={503: {"model": ErrorBody}},
)
async def _readyz(request: Request) -> Response:
    return json_response(_service(request).health())


async def _metrics(request: Request) -> Response:
    telemetry = _service(request).telemetry
    text = await asyncio.to_thread(telemetry.text)
    return Response(text, headers={"Content-Type": telemetry.content_type})


async def _predict(request: Request) -> Response:
    service = _service(request)
    # Before the body, too: a server that is full spends nothing on what it will refuse.
    service.check(1)
    async with body_of(request, service.settings, service.pending) as body:
        decode = body_decoder(body, _content_type(request), max_files=service.settings.max_batch_examples)
        return await _answer_one(request, decode)


async def _predict_files(request: Request) -> Response:
    service = _service(request)
    service.check(1)
    content_type = _content_type(request)
    if media_type(content_type) != MULTIPART:
        raise wrong_type(media_type(content_type), f"{MULTIPART} with fields 'files'")
    most = limits_of(service.predictor, service.settings).max_batch_examples
    async with body_of(request, service.settings, service.pending) as body:
        files = await asyncio.to_thread(parse_files, body, content_type, field="files", max_files=most)
        return await _answer_each(request, [(name, file_decoder(raw)) for name, raw in files])


async def _predict_texts(request: Request) -> Response:
    service = _service(request)
    service.check(1)
    async with body_of(request, service.settings, service.pending) as body:
        text = (await asyncio.to_thread(read_json, body, _content_type(request), TextBody)).text
        if isinstance(text, str):
            return await _answer_text(request, text)
        most = limits_of(service.predictor, service.settings).max_batch_examples
        if len(text) > most:
            raise too_many_examples(len(text), most)
        longest = service.settings.max_text_chars
        return await _answer_each(request, [(None, text_decoder(each, max_chars=longest)) for each in text])


async def _translate(request: Request) -> Response:
    # As it was sent: the framework's own text has lost what is no UTF-8.
    raw_path: bytes = request.scope["raw_path"]
    if len(raw_path) > MAX_URL_BYTES:
        raise url_too_long(MAX_URL_BYTES)
    _service(request).check(1)
    try:
        text = unquote_to_bytes(raw_path).partition(b"/translate/")[2].decode()
    except UnicodeDecodeError:
        raise InvalidExample("the address holds bytes that are no UTF-8; expected text, percent-encoded.") from None
    return await _answer_text(request, text)


async def _feedback(request: Request) -> Response:
    service = _service(request)
    async with body_of(request, service.settings, service.pending) as body:
        feedback = read_json(body, _content_type(request), service.task.feedback_kind)
        return json_response(await asyncio.to_thread(service.keep, feedback))


async def _answer_text(request: Request, text: str) -> Response:
    service = _service(request)
    decode = text_decoder(text, max_chars=service.settings.max_text_chars)
    return await _answer_one(request, decode)


async def _answer_one(request: Request, decode: Decode) -> Response:
    given = Given(request.state.request_id, request.state.started_s, decode, is_whole=True)
    return json_response(await _service(request).answer(given))


async def _answer_each(request: Request, examples: Sequence[tuple[str | None, Decode]]) -> Response:
    """One answer or refusal each; a 429 where not all find room."""
    service, request_id = _service(request), request.state.request_id
    service.check(len(examples))

    async def item_of(index: int, file: str | None, decode: Decode) -> BatchItem[PredictAnswer]:
        try:
            answer = await service.answer(Given(f"{request_id}-{index}", request.state.started_s, decode))
        except (Refusal, InvalidExample) as error:
            return BatchItem(file=file, error=refusal_of(error, request).body(request_id).error)
        return BatchItem(file=file, answer=answer)

    items = await asyncio.gather(*(item_of(index, *example) for index, example in enumerate(examples)))
    return json_response(BatchAnswer(request_id=request_id, items=items))


def json_response(answer: BaseModel) -> Response:
    """A success."""
    return Response(answer.model_dump_json(), media_type=JSON)


def refusal_of(error: Exception, request: Request) -> Refusal:
    """What an error of ours or of the framework says to the caller."""
    ours = known_refusal(error, _service(request).predictor.bundle.input_kind)
    if ours is not None:
        return ours
    status = error.status_code if isinstance(error, HTTPException) else 500
    # A route's own spelling where there is one: an address may hold a text, which no message repeats.
    return of_status(status, getattr(request.scope.get("route"), "path_format", request.url.path), request.method)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "")


def _files_schema(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "object", "properties": {field: schema}, "required": [field]}}


def refusals_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Refusals for a route's description."""
    return {status: {"model": ErrorBody} for status in statuses}


def _post(routes: APIRouter, path: str, endpoint: Endpoint, summary: str, *, answer: Any, body: dict[str, Any]) -> None:
    """Adds a route that reads its body itself, which the description must therefore be told."""
    statuses = (404, 415, 422) if path == "/feedback" else (400, 408, 413, 415, 422, 429, 503, 504)
    routes.add_api_route(
        path,
        endpoint,
        methods=["POST"],
        summary=summary,
        response_model=answer,
        responses=refusals_of(*statuses),
        openapi_extra={"requestBody": {"required": True, "content": body}},
    )
