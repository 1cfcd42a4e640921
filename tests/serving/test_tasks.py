"""Values and texts over HTTP: each task has its answers, its feedback and its description, on the same server."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopline.core.errors import ConfigError
from loopline.prediction_log import open_log
from loopline.predictor import Answer, PredictorLike, ValueAnswer, open_predictor
from loopline.serving.reading import MAX_URL_BYTES
from loopline.serving.schemas import (
    BatchAnswer,
    ModelAnswer,
    TextFeedbackAnswer,
    TextPrediction,
    ValueFeedbackAnswer,
    ValuePrediction,
)
from loopline.testing import make_value_bundle

Serving = Callable[..., AbstractContextManager[Any]]
ROW = [9.5, 11.0, 10.25]


@pytest.fixture(scope="module")
def valuer(value_folder: Path) -> PredictorLike:
    """Rows of three numbers to a weight in kg."""
    return open_predictor(value_folder, num_threads=1)


@pytest.fixture
def values(serving: Serving, valuer: PredictorLike) -> Any:
    with serving(valuer) as client:
        yield client


@pytest.fixture
def texts(serving: Serving, shouter: PredictorLike) -> Any:
    with serving(shouter, max_batch_examples=3) as client:
        yield client


# --- values -----------------------------------------------------------------------------------------------------------


def test_a_value_comes_with_its_unit_and_interval(values: Any, valuer: PredictorLike) -> None:
    """The predictor's own value; the coverage is the one that the bundle states."""
    (expected,) = valuer.predict([valuer.from_array(ROW)])
    assert isinstance(expected, ValueAnswer)
    answer = ValuePrediction.model_validate(values.http.post("/predict", json={"values": ROW}).json())
    assert (answer.value, answer.unit) == (expected.value, "kg")
    assert answer.interval is not None
    assert (answer.interval.low, answer.interval.high) == expected.interval
    assert answer.interval.coverage == 0.9


def test_without_an_interval_there_is_none(serving: Serving, valuer: PredictorLike, tmp_path: Path) -> None:
    """A bundle whose postprocess states none answers with null, and feedback cannot be judged."""

    class Plain:
        """The same predictor without its interval."""

        def __getattr__(self, name: str) -> Any:
            return getattr(valuer, name)

        bundle = valuer.bundle.model_copy(update={"postprocess": valuer.bundle.postprocess[:-1], "unit": None})
        output_names = ("value",)

        def predict(self, samples: Sequence[Any]) -> list[Answer]:
            return [ValueAnswer(each.predicted, each.outputs[:1], each.embedding) for each in valuer.predict(samples)]

    with serving(Plain()) as client:
        answer = client.http.post("/predict", json={"values": ROW}).json()
        assert (answer["interval"], answer["unit"]) == (None, None)
        kept = client.http.post("/feedback", json={"request_id": answer["request_id"], "value": 1}).json()
        assert kept["inside"] is None
        assert client.metric('loopline_feedback_total{verdict="unjudged"}') == 1


def test_files_are_values_too(values: Any, valuer: PredictorLike) -> None:
    """A JSON file alone, and several of a batch, one of them broken."""
    raw = json.dumps(ROW).encode()
    expected = values.http.post("/predict", json={"values": ROW}).json()["value"]
    assert values.predict(raw).json()["value"] == expected
    batch = BatchAnswer[ValuePrediction].model_validate(
        values.predict(raw, b"[1]", path="/predict/batch", name="files").json()
    )
    assert batch.items[0].answer is not None
    assert batch.items[0].answer.value == expected
    assert batch.items[1].error is not None
    assert batch.items[1].error.next == "GET /docs lists the routes and what they take"


BAD_VALUES = {
    "too few": ({"values": [1]}, "expected numbers of shape 3"),
    "words": ({"values": ["a", "b", "c"]}, "something else than numbers"),
    "an unknown field": ({"values": ROW, "pixels": ROW}, "unknown field 'pixels' given; expected values"),
    "nothing": ({}, "field 'values' is missing"),
}


@pytest.mark.parametrize("kind", BAD_VALUES)
def test_wrong_values_are_a_422(values: Any, kind: str) -> None:
    body, words = BAD_VALUES[kind]
    assert words in values.error(values.http.post("/predict", json=body), 422)["message"]


def test_a_true_value_is_kept_and_judged(values: Any, tmp_path: Path) -> None:
    """The answer says how far off the prediction was, the metric whether the interval held, the log the number."""
    answer = values.http.post("/predict", json={"values": ROW}).json()
    near, far = answer["value"] + 1, answer["value"] + 100
    kept = ValueFeedbackAnswer.model_validate(
        values.http.post("/feedback", json={"request_id": answer["request_id"], "value": near}).json()
    )
    assert (kept.value, kept.inside) == (near, True)
    assert kept.error == pytest.approx(-1, abs=1e-5)
    values.http.post("/feedback", json={"request_id": answer["request_id"], "value": far})
    assert values.metric('loopline_feedback_total{verdict="inside"}') == 1
    assert values.metric('loopline_feedback_total{verdict="outside"}') == 1
    with open_log(tmp_path / "predictions.db") as log:
        (row,) = log.read()
    assert set(row.outputs) == {"value", "low", "high"}
    assert float(row.label or "") == far


@pytest.mark.parametrize("value", ["1e999", '"12"', "true", "null", "NaN"])
def test_a_true_value_is_a_finite_number(values: Any, value: str) -> None:
    answer = values.http.post("/predict", json={"values": ROW}).json()
    body = f'{{"request_id": "{answer["request_id"]}", "value": {value}}}'
    response = values.http.post("/feedback", content=body, headers={"Content-Type": "application/json"})
    assert values.error(response, 422)["code"] in {"invalid_request", "invalid_json"}


def test_the_metrics_have_a_histogram_of_values(values: Any, value_folder: Path) -> None:
    """Its bounds part the held-out values in tenths; there is no series per value."""
    values.http.post("/predict", json={"values": ROW})
    assert values.metric("loopline_value_count") == 1
    assert values.metric("loopline_predictions_total") == 1
    text = values.http.get("/metrics").text
    assert text.count("loopline_value_bucket{") == 10


def test_the_description_fits_the_task(values: Any, texts: Any) -> None:
    """OpenAPI shows the schema of this bundle's answers and feedback, and of no other task's."""
    described = values.http.get("/openapi.json").json()
    schemas = set(described["components"]["schemas"])
    assert {"ValuePrediction", "ValueFeedbackAnswer", "Interval"} <= schemas
    assert not any(name.startswith(("Label", "Text")) for name in schemas)
    body = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert set(body["schema"]["properties"]) == {"values"}
    described = texts.http.get("/openapi.json").json()
    assert "/predict/batch" not in described["paths"]
    assert set(described["paths"]["/predict"]["post"]["requestBody"]["content"]) == {"application/json"}
    assert "/translate/{text}" in described["paths"]
    assert not any(name.startswith(("Label", "Value")) for name in described["components"]["schemas"])


def test_the_model_offers_examples_and_a_range(values: Any, valuer: PredictorLike) -> None:
    """Examples are the bundle's reference inputs, and can be sent as they are."""
    model = ModelAnswer.model_validate(values.http.get("/model").json())
    assert (model.task, model.input_kind, model.unit) == ("regression", "values", "kg")
    assert model.output_names == ("value", "low", "high")
    assert model.limits.max_pixels is None
    assert model.value_range is not None
    assert model.value_range[0] < model.value_range[1]
    assert len(model.examples) == 5
    assert values.http.post("/predict", json={"values": model.examples[0]}).status_code == 200


def test_inputs_of_a_confidential_kind_are_never_kept(serving: Serving, tmp_path: Path) -> None:
    """The server does not even start with --log-inputs; without it, it does."""
    folder = make_value_bundle(tmp_path, is_confidential=True)
    predictor = open_predictor(folder, num_threads=1)
    with (
        pytest.raises(ConfigError, match="bundle 'tiny-value' was made of confidential data") as caught,
        serving(predictor, log_inputs=True),
    ):
        pass
    assert caught.value.next_command == "loopline serve shapes@champion --no-log-inputs"
    with serving(predictor) as client:
        assert client.http.post("/predict", json={"values": ROW}).status_code == 200


# --- bands ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bands(serving: Serving, band_folder: Path) -> Any:
    with serving(open_predictor(band_folder, num_threads=1)) as client:
        yield client


def test_the_bands_of_a_plot_come_in_one_file_or_in_four(bands: Any, plot: dict[str, bytes]) -> None:
    """In whatever order, and told apart by their names."""
    one = bands.http.post("/predict", files=[("file", ("plot.tif", plot["plot.tif"]))])
    four = [("file", (name, raw)) for name, raw in plot.items() if name != "plot.tif"]
    answer = ValuePrediction.model_validate(bands.http.post("/predict", files=four).json())
    assert answer.value == one.json()["value"]
    assert (answer.unit, answer.interval is not None) == ("kg N/ha", True)
    missing = bands.error(bands.http.post("/predict", files=four[1:]), 422)
    assert "missing; expected green, red, red_edge, nir" in missing["message"]
    batch = bands.http.post("/predict/batch", files=[("files", ("a.tif", plot["plot.tif"])), ("files", four[0][1])])
    assert [item["answer"] is not None for item in batch.json()["items"]] == [True, False]


def test_the_log_knows_a_plot_by_its_digest(
    serving: Serving, band_folder: Path, plot: dict[str, bytes], tmp_path: Path
) -> None:
    """The same one for both ways in; the plot itself is not kept."""
    four = [("file", (name, raw)) for name, raw in plot.items() if name != "plot.tif"]
    with serving(open_predictor(band_folder, num_threads=1)) as client:
        client.http.post("/predict", files=[("file", ("plot.tif", plot["plot.tif"]))])
        client.http.post("/predict", files=four)
    with open_log(tmp_path / "predictions.db") as log:
        (digest,) = {row.input_digest for row in log.read()}
        assert log.count() == 2
        assert log.read_input(digest) is None


def test_a_plot_as_numbers(bands: Any) -> None:
    """Reflectances, height×width×bands."""
    values = np.full((8, 6, 4), 0.25).tolist()
    assert bands.http.post("/predict", json={"values": values}).status_code == 200


# --- texts ------------------------------------------------------------------------------------------------------------


def test_a_text_or_a_list_of_texts(texts: Any) -> None:
    """One text gets one answer; a list gets one each, and one that is refused does not stop the others."""
    one = TextPrediction.model_validate(texts.http.post("/predict", json={"text": "ein hund"}).json())
    assert (one.text, one.features) == ("EIN HUND", {"num_tokens": 2.0, "unknown_rate": 0.25})
    response = texts.http.post("/predict", json={"text": ["a", " ", "b"]}, headers={"X-Request-ID": "three"})
    batch = BatchAnswer[TextPrediction].model_validate(response.json())
    assert [item.answer.text if item.answer else None for item in batch.items] == ["A", None, "B"]
    assert batch.items[1].error is not None
    assert "empty text" in batch.items[1].error.message
    assert batch.items[2].answer is not None
    assert batch.items[2].answer.request_id == "three-2"


BAD_TEXTS = {
    "a number": (b'{"text": 3}', "field 'text': expected a text or a list of texts"),
    "an empty list": (b'{"text": []}', "expected a text or a list"),
    "a mixed list": (b'{"text": ["a", 1]}', "expected a text or a list"),
    "an empty text": (b'{"text": ""}', "an empty text given"),
    "a surrogate": (b'{"text": "\\ud800"}', "half of a surrogate pair"),
    "an unknown field": (b'{"texts": "a"}', "unknown field 'texts' given; expected text"),
}


@pytest.mark.parametrize("kind", BAD_TEXTS)
def test_wrong_texts_are_a_422(texts: Any, kind: str) -> None:
    content, words = BAD_TEXTS[kind]
    response = texts.http.post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert words in texts.error(response, 422)["message"]


def test_a_text_is_bounded(texts: Any) -> None:
    """The limit is told beforehand; an address ends sooner."""
    limits = texts.http.get("/model").json()["limits"]
    assert limits["max_url_bytes"] == 8_000
    longest = limits["max_text_chars"]
    response = texts.http.post("/predict", json={"text": "a" * (longest + 1)})
    assert f"a text of {longest + 1:,} characters given" in texts.error(response, 413)["message"]
    assert texts.http.post("/predict", json={"text": "a" * longest}).status_code == 200


def test_a_list_is_bounded_and_texts_are_json(texts: Any) -> None:
    response = texts.http.post("/predict", json={"text": ["a"] * 4})
    assert "4 texts given; expected at most 3" in texts.error(response, 413)["message"]
    assert texts.error(texts.predict(b"a text in a file"), 415)["code"] == "wrong_content_type"
    assert texts.error(texts.http.post("/predict/batch", json={}), 404)["code"] == "not_found"


def test_the_address_can_hold_a_text(texts: Any) -> None:
    """Percent-encoded, with slashes, question marks and emoji; not too long, and UTF-8."""
    for text in ("a dog runs.", "either/or", "50 % why?", "süß 🐕", "a+b", "one\ntwo", "/translate/x"):
        answer = texts.http.get(f"/translate/{quote(text, safe='')}")
        assert answer.json()["text"] == " ".join(text.split()).upper()
    assert texts.error(texts.http.get("/translate/"), 422)["code"] == "invalid_example"
    assert "no UTF-8" in texts.error(texts.http.get("/translate/%ff"), 422)["message"]
    long = texts.error(texts.http.get(f"/translate/{'a' * MAX_URL_BYTES}"), 414)
    assert long["next"] == "send the text to POST /predict"
    # What was asked is nobody else's business: no message repeats it.
    refused = texts.error(texts.http.post("/translate/secret"), 405)
    assert refused["message"] == "'/translate/{text}' does not take POST."
    assert texts.metric('loopline_requests_total{method="GET",route="/translate/{text}",status="200"}') == 7


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=300))
def test_any_text_gets_an_answer_or_a_4xx(texts: Any, text: str) -> None:
    """Control characters, emoji and half alphabets, in the body and in the address."""
    # `.` and `..` are steps of a path: clients take them before they send the address.
    encodable = text.encode(errors="ignore").decode() if text not in {".", ".."} else ""
    for response in (
        texts.http.post("/predict", json={"text": text}),
        texts.http.get(f"/translate/{quote(encodable, safe='')}"),
    ):
        assert response.status_code in {200, 422}
        if response.status_code == 200:
            assert response.json()["text"] == " ".join(encodable.split()).upper()


def test_a_reader_rates_and_corrects(texts: Any, tmp_path: Path) -> None:
    """Thumbs first, the better text later: both stand in the log."""
    answer = texts.http.post("/predict", json={"text": "ein hund"}).json()
    request_id = answer["request_id"]
    rated = texts.http.post("/feedback", json={"request_id": request_id, "rating": "down"}).json()
    assert (rated["rating"], rated["text"], rated["predicted"]) == ("down", None, "EIN HUND")
    corrected = texts.http.post("/feedback", json={"request_id": request_id, "text": "EIN PFERD"}).json()
    assert TextFeedbackAnswer.model_validate(corrected).rating == "down"
    assert texts.metric('loopline_feedback_total{verdict="down"}') == 1
    assert texts.metric('loopline_feedback_total{verdict="corrected"}') == 1
    with open_log(tmp_path / "predictions.db") as log:
        (row,) = log.read()
    assert (row.predicted, row.label, row.rating) == ("EIN HUND", "EIN PFERD", "down")
    assert row.outputs == {"num_tokens": 2.0, "unknown_rate": 0.25}
    nothing = texts.http.post("/feedback", json={"request_id": request_id})
    assert "expected 'rating', 'text' or both" in texts.error(nothing, 422)["message"]
    wrong = texts.http.post("/feedback", json={"request_id": request_id, "rating": "great"})
    assert "field 'rating'" in texts.error(wrong, 422)["message"]
