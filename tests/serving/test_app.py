"""The routes: right answers, one shape for every refusal, and never a 500 for what a caller sent."""

from __future__ import annotations

import base64
import gc
import json
import logging
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL.Image import Image

from loopline.core.errors import InvalidExample
from loopline.prediction_log import open_log
from loopline.predictor import LabelAnswer, PredictorLike
from loopline.serving.frame import ACCESS_LOGGER
from loopline.serving.reading import MAX_JSON_VALUES
from loopline.serving.schemas import BatchAnswer, LabelFeedbackAnswer, LabelPrediction, ModelAnswer
from loopline.serving.service import Given
from loopline.testing import make_png

Serving = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def client(serving: Serving) -> Iterator[Any]:
    with serving(max_body_bytes=100_000, max_batch_examples=3) as started:
        yield started


def png_of(width: int, height: int) -> bytes:
    """A PNG file whose header says this size; black, and small, for it packs well."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"\0" * (width + 1) * min(height, 100), 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_an_answer_is_the_predictors(client: Any, predictor: PredictorLike, picture: bytes) -> None:
    """HTTP changes nothing: label, probabilities and digest are those of the predictor in this process."""
    (expected,) = predictor.predict_raw([picture])
    answer = LabelPrediction.model_validate(client.predict(picture).json())
    assert isinstance(expected, LabelAnswer)
    assert answer.label == expected.label
    assert answer.model == "shapes@champion"
    assert answer.bundle_digest == predictor.bundle.digest
    assert list(answer.probabilities.values()) == pytest.approx(sorted(expected.probabilities.tolist(), reverse=True))
    assert answer.confidence == answer.probabilities[answer.label]


def test_json_takes_a_file_or_pixels(client: Any, predictor: PredictorLike, picture: bytes) -> None:
    """The same picture by multipart, base64 and numbers gets the same answer."""
    expected = client.predict(picture).json()["probabilities"]
    as_file = client.http.post("/predict", json={"image": base64.b64encode(picture).decode()})
    pixels = predictor.decode(picture)[:, :, 0].tolist()
    as_numbers = client.http.post("/predict", json={"pixels": pixels})
    assert as_file.json()["probabilities"] == expected
    assert as_numbers.json()["probabilities"] == expected


def test_num_probabilities_limits_the_list(serving: Serving, picture: bytes) -> None:
    with serving(num_probabilities=1) as client:
        answer = client.predict(picture).json()
    assert list(answer["probabilities"]) == [answer["label"]]


def test_a_request_id_is_kept_or_made(client: Any, picture: bytes) -> None:
    """A well-formed id comes back in header and body; anything else is replaced."""
    given = client.predict(picture, **{"X-Request-ID": "order-66"})
    assert given.headers["x-request-id"] == given.json()["request_id"] == "order-66"
    replaced = client.predict(picture, **{"X-Request-ID": "two words"})
    assert replaced.json()["request_id"] != "two words"


def test_a_batch_answers_each_file(client: Any, picture: bytes) -> None:
    """One bad file among good ones costs only itself; each answer has an id of its own."""
    response = client.predict(picture, b"no picture", picture, path="/predict/batch", name="files")
    batch = BatchAnswer[LabelPrediction].model_validate(response.json())
    assert response.status_code == 200
    assert [item.answer is not None for item in batch.items] == [True, False, True]
    assert batch.items[1].error is not None
    assert batch.items[1].error.code == "invalid_example"
    assert batch.items[2].answer is not None
    assert batch.items[2].answer.request_id == f"{batch.request_id}-2"


def test_every_answer_is_in_the_log(serving: Serving, tmp_path: Path, picture: bytes) -> None:
    """With digest, embedding, outputs and timings, and without the picture."""
    with serving() as client:
        answer = client.predict(picture).json()
    with open_log(tmp_path / "predictions.db") as log:
        (row,) = log.read()
        assert log.read_input(row.input_digest) is None
    assert row.request_id == answer["request_id"]
    assert row.predicted == answer["label"]
    assert row.outputs == pytest.approx(answer["probabilities"])
    assert len(row.embedding) == 8
    assert row.total_ms >= row.infer_ms > 0


def test_inputs_are_kept_when_asked(serving: Serving, tmp_path: Path, picture: bytes) -> None:
    with serving(log_inputs=True) as client:
        client.predict(picture)
    with open_log(tmp_path / "predictions.db") as log:
        assert log.read_input(log.read()[0].input_digest) == picture


def test_feedback_labels_an_answer(client: Any, picture: bytes) -> None:
    """At once after the answer, although rows are written behind it."""
    answer = client.predict(picture).json()
    true = next(label for label in ("circle", "cross", "square") if label != answer["label"])
    said = client.http.post("/feedback", json={"request_id": answer["request_id"], "label": true})
    kept = LabelFeedbackAnswer.model_validate(said.json())
    assert (kept.predicted, kept.label, kept.correct) == (answer["label"], true, False)
    assert client.metric('loopline_feedback_total{verdict="wrong"}') == 1


def test_feedback_refuses_what_it_cannot_place(client: Any, picture: bytes) -> None:
    unknown = client.http.post("/feedback", json={"request_id": "nobody", "label": "cross"})
    assert client.error(unknown, 404)["code"] == "unknown_request_id"
    answer = client.predict(picture).json()
    wrong = client.http.post("/feedback", json={"request_id": answer["request_id"], "label": "crss"})
    assert "Did you mean 'cross'?" in client.error(wrong, 422)["message"]
    extra = client.http.post("/feedback", json={"request_id": "a", "label": "cross", "why": 1})
    assert "unknown field 'why'" in client.error(extra, 422)["message"]
    missing = client.http.post("/feedback", json={"label": "cross"})
    assert "field 'request_id' is missing" in client.error(missing, 422)["message"]
    text = client.http.post("/feedback", content=b"label=cross", headers={"Content-Type": "text/plain"})
    assert client.error(text, 415)["code"] == "wrong_content_type"


def test_the_model_describes_itself(client: Any, predictor: PredictorLike) -> None:
    model = ModelAnswer.model_validate(client.http.get("/model").json())
    assert model.bundle_digest == predictor.bundle.digest
    assert model.label_names == ("circle", "cross", "square")
    assert model.card.startswith("# ")
    assert model.limits.max_body_bytes == 100_000
    assert model.limits.max_overhead_bytes == 512 * 1024
    assert model.limits.max_url_bytes is None
    assert model.limits.max_pixels == 50_000_000


def test_it_is_alive_and_ready(client: Any) -> None:
    assert client.http.get("/healthz").json()["status"] == "alive"
    assert client.http.get("/readyz").json()["status"] == "ready"


def test_metrics_count_what_happened(client: Any, picture: bytes) -> None:
    """Requests by route and status, predictions by label, stages, batches, rows."""
    label = client.predict(picture).json()["label"]
    client.predict(b"no picture")
    assert client.metric('loopline_requests_total{method="POST",route="/predict",status="200"}') == 1
    assert client.metric('loopline_requests_total{method="POST",route="/predict",status="422"}') == 1
    assert client.metric(f'loopline_predictions_total{{label="{label}"}}') == 1
    assert client.metric('loopline_stage_seconds_count{stage="total"}') == 1
    assert client.metric("loopline_batch_size_count") == 1
    assert client.metric("loopline_ready") == 1
    assert client.metric("loopline_queue_depth") == 0


def test_two_applications_share_no_metric(serving: Serving, picture: bytes, tmp_path: Path) -> None:
    with serving() as one, serving() as other:
        one.predict(picture)
        assert other.metric("loopline_batch_size_count") == 0


BAD_FILES = {
    "text": (b"this is no picture", "that is no picture"),
    "nothing": (b"", "an empty file given"),
    "a bomb": (png_of(12_000, 12_000), "12000×12000 pixels; expected at most 50,000,000"),
    "cut off": (make_png()[:300], "broken or truncated"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_is_no_picture_is_a_422(client: Any, kind: str) -> None:
    """With the reason, and with what to do."""
    content, words = BAD_FILES[kind]
    error = client.error(client.predict(content), 422)
    assert words in error["message"]
    assert error["code"] == "invalid_example"
    assert error["next"]


BAD_JSON = {
    "no JSON": (b"{", "is not JSON"),
    "no object": (b"[1]", "a JSON list"),
    "both": (b'{"image": "aa==", "pixels": [[1]]}', "exactly one of 'image' and 'pixels'"),
    "neither": (b"{}", "exactly one"),
    "an unknown field": (b'{"pixels": [[1]], "top": 3}', "unknown field 'top' given; expected image, pixels"),
    "NaN": (b'{"pixels": [[NaN]]}', "NaN is no JSON number"),
    "a fraction": (b'{"pixels": [[0.5]]}', "fractions"),
    "out of range": (b'{"pixels": [[256]]}', "expected 0 to 255"),
    "ragged": (b'{"pixels": [[1, 2], [3]]}', "differ in length"),
    "wrong channels": (b'{"pixels": [[[1, 2, 3]]]}', "pixels of shape 1×1×3 given"),
    "no base64": (b'{"image": "**"}', "not base64"),
    "a number": (b'{"image": 3}', "field 'image'"),
    "deep": (b'{"pixels":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "nested too deeply"),
    "a surrogate": (b'{"image": "\\ud800"}', "half of a surrogate pair"),
    "broken UTF-8": (b'{"image": "\xff"}', "is not JSON"),
}


@pytest.mark.parametrize("kind", BAD_JSON)
def test_wrong_json_is_a_422(client: Any, kind: str) -> None:
    content, words = BAD_JSON[kind]
    response = client.http.post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert words in client.error(response, 422)["message"]


def test_json_with_too_many_values_is_refused_before_it_is_parsed(serving: Serving) -> None:
    """Parsed, 2 MB of empty lists would be 100 MB and hold up every other request."""
    with serving() as client:
        content = b'{"pixels": [' + b"[]," * MAX_JSON_VALUES + b"[]]}"
        response = client.http.post("/predict", content=content, headers={"Content-Type": "application/json"})
        assert "more than 500,000 values" in client.error(response, 422)["message"]


def test_wrong_multipart_is_a_4xx(client: Any, picture: bytes, body_of: Callable[..., bytes]) -> None:
    """Another field, text instead of a file, two files, none, a body cut off, no boundary, no multipart at all."""
    assert "unknown field 'image'" in client.error(client.predict(picture, name="image"), 422)["message"]
    text = body_of(b"hello").replace(b'; filename="0.png"', b"")
    kind = {"Content-Type": "multipart/form-data; boundary=a-boundary"}
    assert "is text" in client.error(client.http.post("/predict", content=text, headers=kind), 422)["message"]
    two = client.error(client.predict(picture, picture), 422)
    assert two["message"] == "2 files given for one example; expected one."
    assert two["next"] == "POST /predict/batch takes several examples"
    assert client.error(client.predict(*[picture] * 4), 413)["code"] == "too_many_files"
    assert "no file given" in client.error(client.predict(), 422)["message"]
    cut = body_of(picture)[:-40]
    assert "last boundary" in client.error(client.http.post("/predict", content=cut, headers=kind), 400)["message"]
    bare = {"Content-Type": "multipart/form-data"}
    assert "no boundary" in client.error(client.http.post("/predict", content=cut, headers=bare), 400)["message"]
    junk = client.http.post("/predict", content=b"x" * 100, headers=kind)
    assert client.error(junk, 400)["code"] == "malformed_body"


def test_a_batch_is_bounded(client: Any, picture: bytes) -> None:
    response = client.predict(*[picture] * 4, path="/predict/batch", name="files")
    assert "more than 3 files" in client.error(response, 413)["message"]
    wrong = client.http.post("/predict/batch", json={})
    assert client.error(wrong, 415)["code"] == "wrong_content_type"


def test_other_content_types_are_a_415(client: Any) -> None:
    for kind in ({"Content-Type": "text/plain"}, {}):
        response = client.http.post("/predict", content=b"x", headers=kind)
        assert client.error(response, 415)["code"] == "wrong_content_type"


def test_a_large_body_is_a_413(client: Any) -> None:
    """Declared, it is refused unread; undeclared, once it passes the limit."""
    declared = client.predict(b"x" * 200_000)
    assert "larger than 100,000 bytes" in client.error(declared, 413)["message"]

    def chunks() -> Iterator[bytes]:
        for _ in range(15):
            yield b"x" * 10_000

    kind = {"Content-Type": "multipart/form-data; boundary=a-boundary"}
    undeclared = client.http.post("/predict", content=chunks(), headers=kind)
    assert client.error(undeclared, 413)["code"] == "body_too_large"


def test_unknown_paths_and_methods_have_the_same_shape(client: Any) -> None:
    assert client.error(client.http.get("/nothing"), 404)["code"] == "not_found"
    wrong = client.http.get("/predict")
    assert client.error(wrong, 405)["code"] == "method_not_allowed"
    assert wrong.headers["allow"] == "POST"
    assert client.http.head("/healthz").status_code == 405


def test_a_defect_is_a_500_with_the_id_and_the_server_lives(
    serving: Serving, breakable: Any, picture: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback is in the log under the request's id, and the next request is answered."""

    def decode(_raw: bytes) -> Any:
        raise ZeroDivisionError

    good, breakable.decode = breakable.decode, decode
    with serving(breakable) as client:
        breakable.decode = decode
        response = client.predict(picture, **{"X-Request-ID": "unlucky"})
        assert client.error(response, 500)["code"] == "unexpected"
        assert "request unlucky failed" in caplog.text
        assert "ZeroDivisionError" in caplog.text
        breakable.decode = good
        assert client.predict(picture).status_code == 200


@pytest.mark.parametrize("num_decode_threads", [0, 1])
def test_a_refused_request_leaves_nothing_to_the_collector(
    serving: Serving, picture: bytes, num_decode_threads: int
) -> None:
    """Its body and its picture go with the answer: what waits for the collector is memory that grows until it comes."""

    def held() -> list[str]:
        # Asked for its class, a module that makes names up may warn about one.
        kinds = [type(each) for each in gc.get_objects()]
        return [kind.__name__ for kind in kinds if issubclass(kind, InvalidExample | Given | Image)]

    with serving(num_decode_threads=num_decode_threads) as client:
        client.error(client.predict(b"no picture"), 422)
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                client.error(client.predict(picture[:-100]), 422)
            # The engine's thread lets go of a batch after it has said what became of it.
            deadline_s = time.monotonic() + 10
            while held() and time.monotonic() < deadline_s:
                time.sleep(0.01)
            assert held() == []
        finally:
            gc.enable()


def test_the_access_log_is_json_without_payload(client: Any, picture: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """One line per request: id, method, route, status, milliseconds."""
    with caplog.at_level(logging.INFO, ACCESS_LOGGER):
        client.predict(picture, **{"X-Request-ID": "seen"})
    (record,) = [record for record in caplog.records if record.name == ACCESS_LOGGER]
    line = json.loads(record.message)
    assert line.pop("ms") > 0
    assert line == {"request_id": "seen", "method": "POST", "route": "/predict", "status": 200}


def test_the_description_names_every_route(client: Any) -> None:
    """OpenAPI lists the routes with their bodies and refusals; /docs shows it."""
    paths = client.http.get("/openapi.json").json()["paths"]
    routes = {"/predict", "/predict/batch", "/feedback", "/model", "/healthz", "/readyz", "/metrics"}
    assert set(paths) == routes
    assert set(paths["/predict"]["post"]["requestBody"]["content"]) == {"multipart/form-data", "application/json"}
    assert "422" in paths["/predict"]["post"]["responses"]
    assert client.http.get("/docs").status_code == 200


def test_pixels_of_numpy_size_pass(client: Any) -> None:
    """A picture of another size is resized as a file would be."""
    pixels = np.zeros((40, 30), int).tolist()
    assert client.http.post("/predict", json={"pixels": pixels}).status_code == 200
