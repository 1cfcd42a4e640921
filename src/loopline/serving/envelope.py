"""The routes that a platform chooses: where it asks for health, and where it sends examples in an envelope.

Vertex AI names both paths in the container's environment and wraps what it sends: `{"instances": […]}` in,
`{"predictions": […]}` out (https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field, SerializeAsAny

from loopline.core.errors import InvalidExample
from loopline.core.records import Record
from loopline.serving.body import body_of
from loopline.serving.description import limits_of
from loopline.serving.inputs import TEXT, Decode, body_decoder, text_decoder
from loopline.serving.reading import JSON, read_json
from loopline.serving.refusals import Refusal, invalid, too_many_examples
from loopline.serving.routes import json_response, refusal_of
from loopline.serving.schemas import ErrorBody, HealthAnswer, PredictAnswer
from loopline.serving.service import Given, Service


class EnvelopeBody(Record):
    """What a platform sends: examples, each a JSON body of /predict. `parameters` is accepted and means nothing."""

    instances: list[dict[str, Any]] = Field(min_length=1)
    parameters: Any = None


class EnvelopeAnswer(Record):
    """One prediction for each instance, in their order: an answer of /predict, or the error that stands for it."""

    predictions: list[SerializeAsAny[PredictAnswer] | ErrorBody]


def platform_routes(service: Service) -> APIRouter:
    """The routes that `service`'s settings name; none where they name none."""
    routes, settings = APIRouter(), service.settings
    if settings.health_route is not None:
        routes.add_api_route(
            settings.health_route,
            _health,
            summary="Is the server ready? The platform's own path of /readyz",
            response_model=HealthAnswer,
            responses={503: {"model": ErrorBody}},
        )
    if settings.predict_route is not None:
        body = {JSON: {"schema": EnvelopeBody.model_json_schema()}}
        routes.add_api_route(
            settings.predict_route,
            _predict,
            methods=["POST"],
            summary="Predict each instance of an envelope",
            response_model=EnvelopeAnswer,
            responses={status: {"model": ErrorBody} for status in (400, 408, 413, 415, 422, 429, 503)},
            openapi_extra={"requestBody": {"required": True, "content": body}},
        )
    return routes


async def _health(request: Request) -> Response:
    return json_response(request.app.state.service.health())


async def _predict(request: Request) -> Response:
    service: Service = request.app.state.service
    service.check(1)
    content_type = request.headers.get("content-type", "")
    async with body_of(request, service.settings, service.pending) as body:
        envelope = await asyncio.to_thread(read_json, body, content_type, EnvelopeBody)
        most = limits_of(service.predictor, service.settings).max_batch_examples
        if len(envelope.instances) > most:
            raise too_many_examples(len(envelope.instances), most)
        service.check(len(envelope.instances))
        predictions = await asyncio.gather(
            *(_prediction(request, service, index, each) for index, each in enumerate(envelope.instances))
        )
        return json_response(EnvelopeAnswer(predictions=predictions))


async def _prediction(
    request: Request, service: Service, index: int, instance: dict[str, Any]
) -> PredictAnswer | ErrorBody:
    request_id = f"{request.state.request_id}-{index}"
    try:
        decode = _decoder(instance, service)
        return await service.answer(Given(request_id, request.state.started_s, decode))
    except (Refusal, InvalidExample) as error:
        return refusal_of(error, request).body(request_id)


def _decoder(instance: dict[str, Any], service: Service) -> Decode:
    """An instance goes the way of a body of /predict, so that both mean the same."""
    if service.predictor.bundle.input_kind != TEXT:
        return body_decoder(json.dumps(instance).encode(), JSON, max_files=1)
    if set(instance) != {"text"} or not isinstance(instance["text"], str):
        raise invalid("an instance is no text; expected an object with the field 'text'.")
    return text_decoder(instance["text"], max_chars=service.settings.max_text_chars)
