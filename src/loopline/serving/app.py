"""`build_app` makes a FastAPI application of an open predictor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from loopline import __version__
from loopline.core.errors import InvalidExample
from loopline.prediction_log import PredictionLog
from loopline.predictor.answer import PredictorLike
from loopline.serving.envelope import platform_routes
from loopline.serving.frame import RequestFrame
from loopline.serving.page import docs_routes, page_routes
from loopline.serving.reading import JSON
from loopline.serving.refusals import Refusal
from loopline.serving.routes import model_routes, refusal_of
from loopline.serving.service import Service
from loopline.serving.settings import ServeSettings


def build_app(predictor: PredictorLike, settings: ServeSettings, *, model: str, log: PredictionLog) -> FastAPI:
    """The application that answers with `predictor`, known to callers as `model`, and writes every answer to `log`.

    Its routes and their description are those of the bundle's task and input kind. The caller opens and closes the log;
    the application's lifespan starts and stops everything else. Raises `ConfigError` for settings that would keep
    inputs of a confidential kind.
    """
    service = Service(predictor, settings, model=model, log=log)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.close()

    bundle = predictor.bundle
    app = FastAPI(
        title=f"Loopline: {model}",
        version=__version__,
        description=f"Predictions of bundle `{bundle.name}`, digest `{bundle.digest}`.",
        lifespan=lifespan,
        # The framework's own pages load their scripts from a public host.
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.state.is_stopping = False
    app.include_router(model_routes(service))
    app.include_router(platform_routes(service))
    app.include_router(docs_routes())
    if settings.ui:
        app.include_router(page_routes(bundle))
    for kind in (Refusal, InvalidExample, HTTPException):
        app.add_exception_handler(kind, _refused)
    app.add_middleware(RequestFrame, telemetry=service.telemetry)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    refusal = refusal_of(error, request)
    headers = {**(getattr(error, "headers", None) or {}), **refusal.headers}
    body = refusal.body(request.state.request_id).model_dump_json()
    return Response(body, refusal.status, headers=headers, media_type=JSON)
