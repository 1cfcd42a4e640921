"""The shortcut answers what is asked most without the framework's router, and says what that would have said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.testclient import TestClient

from loopline.core.errors import InvalidExample
from loopline.prediction_log import open_log
from loopline.predictor import PredictorLike
from loopline.serving import ServeSettings, build_app
from loopline.serving.shortcut import QuickFastAPI, Shortcut

MULTIPART = {"Content-Type": "multipart/form-data; boundary=a-boundary"}
ROUTES = APIRouter()


@ROUTES.post("/predict")
async def predict(request: Request) -> Response:
    """Says where it was found, unless the body is wrong."""
    if await request.body() == b"wrong":
        raise InvalidExample("that is no example.")
    if await request.body() == b"broken":
        raise RuntimeError("a mistake of ours")
    return Response(request.scope["route"].path)


@ROUTES.post("/other")
async def other() -> Response:
    """A route that has no shortcut."""
    return Response("other")


async def refused(_request: Request, error: Exception) -> Response:
    return Response(str(error), 422)


@pytest.fixture
def inner() -> FastAPI:
    """The framework and the shortcut with the same routes; what the framework was asked stands in `state.paths`."""
    app = QuickFastAPI()
    app.state.paths = []
    app.include_router(ROUTES)

    @app.middleware("http")
    async def note(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        app.state.paths.append(f"{request.method} {request.url.path}")
        return await call_next(request)

    app.surround([], shortcut=Shortcut(routes=ROUTES.routes, refused=refused))
    return app


@pytest.fixture
def client(inner: FastAPI) -> TestClient:
    return TestClient(inner)


def test_a_prediction_never_reaches_the_framework(client: TestClient, inner: FastAPI) -> None:
    """The function answers, and finds its route where the framework would have put it."""
    answer = client.post("/predict", content=b"right")
    assert (answer.status_code, answer.text) == (200, "/predict")
    assert inner.state.paths == []


def test_everything_else_goes_to_the_framework(client: TestClient, inner: FastAPI) -> None:
    """Other methods, other routes, and routes that nobody has."""
    assert client.get("/predict").status_code == 405
    assert client.post("/other").text == "other"
    assert client.post("/predict/").status_code == 200
    assert client.post("/none").status_code == 404
    assert inner.state.paths[:2] == ["GET /predict", "POST /other"]
    assert inner.state.paths[-1] == "POST /none"


def test_what_the_function_refuses_is_answered(client: TestClient) -> None:
    answer = client.post("/predict", content=b"wrong")
    assert (answer.status_code, answer.text) == (422, "that is no example.")


def test_a_mistake_of_ours_is_not_swallowed(client: TestClient) -> None:
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        client.post("/predict", content=b"broken")


def test_it_says_what_the_framework_would_say(
    predictor: PredictorLike,
    body_of: Callable[..., bytes],
    picture: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Good and bad requests get the same status, and the same body but for ids and times, with and without it."""
    bodies = [body_of(picture), body_of(b"no picture"), b"no form"]
    said = []
    for paths in (("/predict",), ()):
        monkeypatch.setattr("loopline.serving.shortcut._PATHS", paths)
        with (
            open_log(tmp_path / f"log-{len(paths)}.db") as log,
            TestClient(build_app(predictor, ServeSettings(), model="tiny", log=log)) as client,
        ):
            answers = [client.post("/predict", content=body, headers=MULTIPART) for body in bodies]
            assert 'route="/predict"' in client.get("/metrics").text
        said.append([(answer.status_code, _lasting(answer.json())) for answer in answers])
    assert said[0] == said[1]
    assert [status for status, _ in said[0]] == [200, 422, 400]


def _lasting(value: dict[str, object]) -> dict[str, object]:
    """An answer without what differs from request to request."""
    return {key: part for key, part in value.items() if key not in ("request_id", "timings_ms")}
