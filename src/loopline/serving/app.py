"""The routes: `build_app` makes a FastAPI application of an open predictor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from loopline import __version__
from loopline.core.errors import InvalidExample, UnknownName
from loopline.prediction_log import PredictionLog
from loopline.predictor.answer import PredictorLike
from loopline.serving.frame import RequestFrame
from loopline.serving.multipart import parse_files
from loopline.serving.page import page_routes
from loopline.serving.reading import (
    MAX_JSON_VALUES,
    MULTIPART,
    file_decoder,
    media_type,
    picture_decoder,
    read_body,
    read_json,
)
from loopline.serving.refusals import Refusal, invalid, no_picture, not_ready, of_status, wrong_type
from loopline.serving.schemas import (
    BatchAnswer,
    BatchItem,
    ErrorBody,
    FeedbackAnswer,
    FeedbackBody,
    HealthAnswer,
    Limits,
    ModelAnswer,
    PredictAnswer,
    PredictBody,
)
from loopline.serving.service import Given, Service
from loopline.serving.settings import ServeSettings
from loopline.serving.telemetry import Telemetry

_CARD = "card.md"
_ROUTES = APIRouter()


def build_app(predictor: PredictorLike, settings: ServeSettings, *, model: str, log: PredictionLog) -> FastAPI:
    """The application that answers with `predictor`, known to callers as `model`, and writes every answer to `log`.

    The caller opens and closes the log; the application's lifespan starts and stops everything else.
    """
    bundle = predictor.bundle
    telemetry = Telemetry(model=model, bundle_digest=bundle.digest, label_names=bundle.label_names)
    service = Service(predictor, settings, model=model, log=log, telemetry=telemetry)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        title=f"Loopline: {model}",
        version=__version__,
        description=f"Predictions of bundle `{bundle.name}`, digest `{bundle.digest}`.",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.service = service
    app.state.is_stopping = False
    app.include_router(_ROUTES)
    if settings.ui:
        app.include_router(page_routes())
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(InvalidExample, _refused)
    app.add_exception_handler(HTTPException, _refused)
    app.add_middleware(RequestFrame, telemetry=telemetry)
    return app


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def _files_schema(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "object", "properties": {field: schema}, "required": [field]}}


_FILE = {"type": "string", "format": "binary"}
_JSON_BODY = {"schema": PredictBody.model_json_schema()}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody} for status in (400, 408, 413, 415, 422, 429, 503, 504)
}


@_ROUTES.post(
    "/predict",
    summary="Predict one picture",
    response_model=PredictAnswer,
    responses=_REFUSALS,
    openapi_extra=_body({"multipart/form-data": _files_schema("file", _FILE), "application/json": _JSON_BODY}),
)
async def _predict(request: Request) -> Response:
    service = _service(request)
    # Before the body, too: a server that is full spends nothing on what it will refuse.
    service.check(1)
    body = await read_body(request, service.settings)
    decode = picture_decoder(body, _content_type(request), service.predictor)
    return _json(await service.answer(Given(request.state.request_id, request.state.started_s, decode)))


@_ROUTES.post(
    "/predict/batch",
    summary="Predict several pictures; one that is refused does not stop the others",
    response_model=BatchAnswer,
    responses=_REFUSALS,
    openapi_extra=_body({"multipart/form-data": _files_schema("files", {"type": "array", "items": _FILE})}),
)
async def _predict_batch(request: Request) -> Response:
    service, request_id = _service(request), request.state.request_id
    service.check(1)
    body, content_type = await read_body(request, service.settings), _content_type(request)
    if media_type(content_type) != MULTIPART:
        raise wrong_type(media_type(content_type), f"{MULTIPART} with fields 'files'")
    max_files = _limits(service).max_batch_files
    files = await asyncio.to_thread(parse_files, body, content_type, field="files", max_files=max_files)
    service.check(len(files))

    async def item_of(index: int, name: str, raw: bytes) -> BatchItem:
        decode = file_decoder(raw, service.predictor)
        try:
            answer = await service.answer(Given(f"{request_id}-{index}", request.state.started_s, decode))
        except (Refusal, InvalidExample) as error:
            return BatchItem(file=name, error=_refusal_of(error, request).body(request_id).error)
        return BatchItem(file=name, answer=answer)

    items = await asyncio.gather(*(item_of(index, *file) for index, file in enumerate(files)))
    return _json(BatchAnswer(request_id=request_id, items=items))


@_ROUTES.post(
    "/feedback",
    summary="Tell the true label of an answered request",
    response_model=FeedbackAnswer,
    responses={status: {"model": ErrorBody} for status in (404, 415, 422)},
    openapi_extra=_body({"application/json": {"schema": FeedbackBody.model_json_schema()}}),
)
async def _feedback(request: Request) -> Response:
    service = _service(request)
    body = await read_body(request, service.settings)
    feedback = read_json(body, _content_type(request), FeedbackBody)
    label_names = service.predictor.bundle.label_names
    if feedback.label not in label_names:
        raise invalid(str(UnknownName("label", feedback.label[:100], label_names)), code="unknown_label")
    try:
        row = await asyncio.to_thread(service.label, feedback.request_id, feedback.label)
    except UnknownName:
        raise Refusal(
            404,
            "unknown_request_id",
            f"no answer has the request id '{feedback.request_id[:128]}'.",
            next_step="send the request_id of an answer of POST /predict",
        ) from None
    correct = row.predicted == feedback.label
    service.telemetry.feedback.labels(str(correct).lower()).inc()
    return _json(
        FeedbackAnswer(request_id=row.request_id, predicted=row.predicted, label=feedback.label, correct=correct)
    )


@_ROUTES.get("/model", summary="The model that answers: names, signature, card, limits", response_model=ModelAnswer)
async def _model(request: Request) -> Response:
    service = _service(request)
    bundle, card = service.predictor.bundle, service.predictor.folder / _CARD
    same = {"name", "run_id", "licence", "label_names", "inputs", "outputs", "preprocess", "postprocess", "metrics"}
    return _json(
        ModelAnswer(
            model=service.model,
            bundle_digest=bundle.digest,
            dataset=f"{bundle.dataset.name}@{bundle.dataset.version}",
            limits=_limits(service),
            card=await asyncio.to_thread(card.read_text, "utf-8") if card.is_file() else "",
            **{name: getattr(bundle, name) for name in same},
        )
    )


@_ROUTES.get("/healthz", summary="Is the process alive?", response_model=HealthAnswer)
async def _healthz() -> Response:
    return _json(HealthAnswer(status="alive"))


@_ROUTES.get(
    "/readyz",
    summary="Were the reference inputs predicted as they should be?",
    response_model=HealthAnswer,
    responses={503: {"model": ErrorBody}},
)
async def _readyz(request: Request) -> Response:
    readiness = _service(request).readiness
    if not readiness.is_ready:
        raise not_ready(readiness.reason)
    return _json(HealthAnswer(status="ready"))


@_ROUTES.get("/metrics", summary="Metrics in Prometheus' text format", response_class=Response)
async def _metrics(request: Request) -> Response:
    telemetry = _service(request).telemetry
    return Response(telemetry.text(), headers={"Content-Type": telemetry.content_type})


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "")


def _limits(service: Service) -> Limits:
    settings = service.settings
    return Limits(
        max_body_bytes=settings.max_body_bytes,
        max_pixels=next(
            step.params["max_pixels"] for step in service.predictor.bundle.preprocess if "max_pixels" in step.params
        ),
        max_json_values=MAX_JSON_VALUES,
        # More would never find room in the queue.
        max_batch_files=min(settings.max_batch_files, settings.max_queue_size),
        max_queue_size=settings.max_queue_size,
        request_timeout_s=settings.request_timeout_s,
    )


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _refusal_of(error: Exception, request: Request) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, InvalidExample):
        return no_picture(error)
    status = error.status_code if isinstance(error, HTTPException) else 500
    return of_status(status, request.url.path, request.method)


async def _refused(request: Request, error: Exception) -> Response:
    refusal = _refusal_of(error, request)
    headers = {**(getattr(error, "headers", None) or {}), **refusal.headers}
    body = refusal.body(request.state.request_id).model_dump_json()
    return Response(body, refusal.status, headers=headers, media_type="application/json")
