"""`build_app` makes a FastAPI application of an open predictor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Lifespan

from loopline import __version__
from loopline.core.errors import InvalidExample
from loopline.prediction_log import PredictionLog
from loopline.predictor.answer import PredictorLike
from loopline.serving.envelope import platform_routes
from loopline.serving.frame import RequestFrame
from loopline.serving.front import Front
from loopline.serving.gate import Door, Gate
from loopline.serving.lane import Bundles
from loopline.serving.page import asset_routes, docs_routes, page_routes
from loopline.serving.reading import JSON
from loopline.serving.refusals import Refusal
from loopline.serving.routes import model_routes, refusal_of, refusals_of
from loopline.serving.service import Service
from loopline.serving.settings import ServeSettings
from loopline.serving.workers import ALONE, Worker


def build_app(
    predictor: PredictorLike,
    settings: ServeSettings,
    *,
    model: str,
    log: PredictionLog,
    worker: Worker = ALONE,
    bundles: Bundles | None = None,
) -> FastAPI:
    """The application that answers with `predictor`, known to callers as `model`, and writes every answer to `log`.

    `worker` says which of the processes behind one address it is in; with `bundles` it follows its alias and may have
    challengers. Its routes and their description are those of the bundle's task and input kind. The caller opens and
    closes the log; the application's lifespan starts and stops everything else. Raises `ConfigError` for settings that
    would keep inputs of a confidential kind, for keys that are none, and for a challenger of another kind.
    """
    front = Front(Service(predictor, settings, model=model, log=log, worker=worker, bundles=bundles))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await front.start()
        try:
            yield
        finally:
            await front.close()

    return app_behind(front, lifespan=lifespan)


def app_behind(front: Front, *, lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """The application with the routes of `front`, which `lifespan` or the caller starts and stops."""
    service, settings = front.service, front.service.settings
    app = FastAPI(
        title=f"Loopline: {service.model}",
        version=__version__,
        description=f"Predictions of `{service.predictor.bundle.name}`; answers and `GET /model` say which bundle made "
        "them.",
        lifespan=lifespan,
        # The framework's own pages load their scripts from a public host.
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs else None,
    )
    app.state.service = service
    routes = model_routes(service)
    # With keys, any route may refuse.
    refusals = refusals_of(401, 429) if front.door else None
    for router in (routes, platform_routes(service)):
        app.include_router(router, responses=refusals)
    _add_pages(app, service)
    for kind in (Refusal, InvalidExample, HTTPException):
        app.add_exception_handler(kind, _refused)
    _add_layers(app, service, front.door)
    return app


def _add_pages(app: FastAPI, service: Service) -> None:
    """Adds what people look at, with a key or without one."""
    settings = service.settings
    if settings.docs:
        app.include_router(docs_routes())
    if settings.docs or settings.ui:
        app.include_router(asset_routes())
    if settings.ui:
        app.include_router(page_routes(service.predictor.bundle))


def _add_layers(app: FastAPI, service: Service, door: Door | None) -> None:
    """Adds what stands before every route, the innermost first."""
    settings = service.settings
    if door is not None:
        app.add_middleware(Gate, door=door, health_route=settings.health_route)
    if settings.cors_origin:
        # A browser asks for leave without a key, and its page may read why a request was refused.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origin,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    app.add_middleware(RequestFrame, telemetry=service.telemetry)


async def _refused(request: Request, error: Exception) -> Response:
    refusal = refusal_of(error, request)
    headers = {**(getattr(error, "headers", None) or {}), **refusal.headers}
    body = refusal.body(request.state.request_id).model_dump_json()
    return Response(body, refusal.status, headers=headers, media_type=JSON)
