"""Platforms find the server where they look for it: by their variables, their routes, their envelope."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from loopline.prediction_log import open_log
from loopline.predictor import PredictorLike
from loopline.serving import ServeSettings, build_app
from loopline.serving.probe import is_ready
from loopline.serving.settings import variables

HEALTH, PREDICT = "/v1/endpoints/1/deployedModels/2", "/v1/endpoints/1/deployedModels/2:predict"


@pytest.fixture
def client(predictor: PredictorLike, tmp_path: Path) -> Iterator[TestClient]:
    settings = ServeSettings(health_route=HEALTH, predict_route=PREDICT, max_batch_examples=3)
    with (
        open_log(tmp_path / "log.db") as log,
        TestClient(build_app(predictor, settings, model="tiny", log=log)) as client,
    ):
        yield client


@pytest.fixture
def instance(picture: bytes) -> dict[str, str]:
    return {"image": base64.b64encode(picture).decode()}


def test_the_platforms_health_route_is_readyz(client: TestClient) -> None:
    assert client.get(HEALTH).json() == client.get("/readyz").json() == {"status": "ready", "note": None}


def test_an_envelope_is_answered_as_its_instances_would_be(client: TestClient, instance: dict[str, str]) -> None:
    """In their order; one that is refused does not stop the others; parameters mean nothing."""
    alone = client.post("/predict", json=instance).json()
    wrapped = client.post(PREDICT, json={"instances": [instance, {"image": "?"}, instance], "parameters": {"a": 1}})
    assert wrapped.status_code == 200
    first, refused, last = wrapped.json()["predictions"]
    assert first["probabilities"] == last["probabilities"] == alone["probabilities"]
    assert refused["error"]["message"] == "'image' is not base64; expected the bytes of a picture file in base64."


@pytest.mark.parametrize(
    "body", [{}, {"instances": []}, {"instances": [1]}, {"instances": [{}], "more": 1}, {"instances": [{}] * 4}]
)
def test_an_envelope_that_is_none_is_the_callers_fault(client: TestClient, body: object) -> None:
    assert 400 <= client.post(PREDICT, json=body).status_code < 500


def test_without_routes_there_are_none(predictor: PredictorLike, tmp_path: Path) -> None:
    with (
        open_log(tmp_path / "log.db") as log,
        TestClient(build_app(predictor, ServeSettings(), model="tiny", log=log)) as client,
    ):
        assert client.get(HEALTH).status_code == 404
    with pytest.raises(ValidationError):
        ServeSettings(predict_route="predict")


def test_platforms_variables_come_after_our_own() -> None:
    assert variables("port") == ("LOOPLINE_SERVE_PORT", "AIP_HTTP_PORT", "PORT")
    assert variables("predict_route") == ("LOOPLINE_SERVE_PREDICT_ROUTE", "AIP_PREDICT_ROUTE")
    assert variables("host") == ("LOOPLINE_SERVE_HOST",)


def test_the_probe_asks_the_port_that_the_server_has() -> None:
    """Nobody listens on port 9, so nothing is ready there."""
    assert not is_ready({"PORT": "9"})
