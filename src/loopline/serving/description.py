"""What a server says about itself: the model that answers, its limits, and inputs to try it with."""

from __future__ import annotations

import json

from pydantic import JsonValue

from loopline.bundle import CARD_FILE, read_reference
from loopline.predictor.answer import PredictorLike
from loopline.serving.inputs import TEXT, VALUES
from loopline.serving.protocol import MAX_OVERHEAD_BYTES
from loopline.serving.reading import MAX_JSON_VALUES, MAX_URL_BYTES
from loopline.serving.schemas import Limits, ModelAnswer
from loopline.serving.service import Service
from loopline.serving.settings import ServeSettings

_NUM_EXAMPLES = 5
# An example is to be read at a glance.
_MAX_EXAMPLE_BYTES = 1000


def describe_model(service: Service) -> ModelAnswer:
    """The body of GET /model; reads the bundle's card and reference inputs from disk."""
    predictor, bundle = service.predictor, service.predictor.bundle
    card = predictor.folder / CARD_FILE
    same = {
        "name", "task", "input_kind", "run_id", "licence", "label_names", "unit", "inputs", "outputs", "preprocess",
        "postprocess", "metrics",
    }  # fmt: skip
    return ModelAnswer(
        model=service.model,
        bundle_digest=bundle.digest,
        dataset=f"{bundle.dataset.name}@{bundle.dataset.version}",
        output_names=predictor.output_names,
        value_range=service.task.value_range,
        examples=_examples(predictor),
        limits=limits_of(predictor, service.settings),
        card=card.read_text("utf-8") if card.is_file() else "",
        **{name: getattr(bundle, name) for name in same},
    )


def limits_of(predictor: PredictorLike, settings: ServeSettings) -> Limits:
    """What a request to this server may ask for."""
    pixels = (step.params["max_pixels"] for step in predictor.bundle.preprocess if "max_pixels" in step.params)
    return Limits(
        max_body_bytes=settings.max_body_bytes,
        max_overhead_bytes=MAX_OVERHEAD_BYTES,
        max_url_bytes=MAX_URL_BYTES if predictor.bundle.task == "translation" else None,
        max_pixels=next(pixels, None),
        max_json_values=MAX_JSON_VALUES,
        max_text_chars=settings.max_text_chars if predictor.bundle.input_kind == TEXT else None,
        # More would never find room in the queue.
        max_batch_examples=min(settings.max_batch_examples, settings.max_queue_size),
        max_queue_size=settings.max_queue_size,
        max_pending_bytes=settings.max_pending_bytes,
        request_timeout_s=settings.request_timeout_s,
        rate_limit_per_s=settings.rate_limit_per_s or None,
    )


def _examples(predictor: PredictorLike) -> tuple[JsonValue, ...]:
    """Some of the bundle's reference inputs, where they are texts or JSON; a confidential bundle's are made up."""
    kind = predictor.bundle.input_kind
    if kind not in {TEXT, VALUES}:
        return ()
    raws, _ = read_reference(predictor.folder, predictor.bundle)
    short = [raw for raw in raws if len(raw) <= _MAX_EXAMPLE_BYTES and not raw.startswith(b"\x93NUMPY")]
    return tuple(raw.decode() if kind == TEXT else json.loads(raw) for raw in short[:_NUM_EXAMPLES])
