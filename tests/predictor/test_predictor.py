"""The predictor: the same answers in any batch and any thread, none from a bundle that is not what it claims."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from loopline.bundle import BUNDLE_FILE, bundle_digest, list_files, pack_reference, read_bundle, read_reference
from loopline.core.errors import ConfigError, IntegrityError, InvalidExample, SkewError, StateError, UnknownName
from loopline.predictor import Answer, LabelAnswer, Predictor, PredictorLike, open_predictor
from loopline.testing import make_bundle, make_png


def reseal(folder: Path, change: dict[str, Any], files: dict[str, bytes] | None = None) -> None:
    """Changes keys and files of a bundle and corrects every digest, as somebody who knows the format would."""
    value = {**json.loads((folder / BUNDLE_FILE).read_text()), **change}
    for path, data in (files or {}).items():
        (folder / path).write_bytes(data)
        value["files"][path] = list_files({path: data})[path].model_dump(mode="json")
    value["digest"] = bundle_digest(value)
    (folder / BUNDLE_FILE).write_text(json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n")


def steps(folder: Path) -> dict[str, dict[str, Any]]:
    """The preprocess of a bundle, by the names of its steps."""
    return {item.name: item.model_dump(mode="json") for item in read_bundle(folder).preprocess}


def opened(folder: Path, *, num_threads: int) -> Predictor:
    """The predictor of a bundle of one graph."""
    predictor = open_predictor(folder, num_threads=num_threads)
    assert isinstance(predictor, Predictor)
    return predictor


@pytest.fixture(scope="module")
def predictor(made: Path) -> Predictor:
    """The bundle, open."""
    return opened(made, num_threads=1)


def test_an_answer_names_the_likeliest_label(predictor: Predictor) -> None:
    """Label, its probability, all probabilities and the embedding, in the bundle's order and in float32."""
    (answer,) = predictor.predict_raw([make_png(seed=77)])
    assert isinstance(answer, LabelAnswer)
    names = predictor.bundle.label_names
    assert answer.label == names[int(answer.outputs.argmax())]
    assert answer.confidence == pytest.approx(float(answer.outputs.max()))
    assert answer.outputs.sum() == pytest.approx(1)
    assert answer.outputs.shape == (3,)
    assert answer.embedding.shape == (8,)
    assert answer.outputs.dtype == answer.embedding.dtype == np.float32
    ranked = answer.top(2, names)
    assert ranked[0] == (answer.label, answer.confidence)
    assert [probability for _, probability in ranked] == sorted(answer.outputs.tolist(), reverse=True)[:2]
    assert len(answer.top(10, names)) == 3


@pytest.mark.parametrize("num_examples", [1, 2, 63, 64, 65, 150])
def test_batches_of_any_size_give_the_same_answers(predictor: Predictor, num_examples: int) -> None:
    """One by one, in full batches and with a remainder, every example gets its own answer."""
    raws = [make_png(seed=index) for index in range(num_examples)]
    together = predictor.predict_raw(raws)
    assert len(together) == num_examples
    for raw, answer in zip(raws, together, strict=True):
        (alone,) = predictor.predict_raw([raw])
        assert alone.predicted == answer.predicted
        np.testing.assert_allclose(alone.outputs, answer.outputs, atol=1e-6)
        np.testing.assert_allclose(alone.embedding, answer.embedding, atol=1e-5)


def test_no_examples_give_no_answers(predictor: Predictor) -> None:
    """Nothing in, nothing out."""
    assert predictor.predict([]) == []


def test_arrays_and_files_give_the_same_answer(predictor: Predictor) -> None:
    """Pixels given as numbers pass the same geometry, normalization and graph as the file that holds them."""
    raw = make_png(height=28, width=28, seed=3)
    pixels = predictor.decode(raw)[:, :, 0].tolist()
    from_file, from_numbers = predictor.predict([predictor.decode(raw), predictor.from_array(pixels)])
    np.testing.assert_array_equal(from_file.outputs, from_numbers.outputs)


def test_threads_get_their_own_answers(predictor: Predictor) -> None:
    """Sixteen threads at once each get what one alone gets."""
    raws = [make_png(seed=index) for index in range(64)]
    expected = [answer.outputs for answer in predictor.predict_raw(raws)]

    def ask(index: int) -> Answer:
        return predictor.predict_raw([raws[index % 64]])[0]

    with ThreadPoolExecutor(16) as pool:
        for index, answer in enumerate(pool.map(ask, range(640))):
            np.testing.assert_allclose(answer.outputs, expected[index % 64], atol=1e-6)


def test_what_is_no_example_is_refused(predictor: Predictor) -> None:
    """Bytes that are no picture and arrays that `decode` did not make end with a sentence."""
    with pytest.raises(InvalidExample, match="that is no picture given"):
        predictor.predict_raw([make_png(), b"text"])
    for array in (np.zeros((28, 28), np.uint8), np.zeros((27, 28, 1), np.uint8), np.zeros((28, 28, 1), np.float32)):
        with pytest.raises(InvalidExample, match="expected uint8 of 28×28×1"):
            predictor.predict([array])


def test_the_number_of_threads_takes_effect(made: Path) -> None:
    """The engine runs with the threads that were asked for."""
    assert opened(made, num_threads=1).engine.num_threads == 1
    assert opened(made, num_threads=2).engine.num_threads == 2


def test_a_predictor_is_what_the_server_expects(predictor: Predictor) -> None:
    """`Predictor` keeps the promise of `PredictorLike`, as mypy checks here, and knows where it came from."""
    like: PredictorLike = predictor
    assert like.folder.name.startswith("tiny-")
    assert like.bundle.name == "tiny"
    like.verify()


def test_opening_loads_no_torch(made: Path) -> None:
    """A fresh interpreter opens a bundle without torch, onnx or a tracker, and says nothing."""
    program = (
        "import sys; from pathlib import Path; from loopline.predictor import open_predictor; "
        "open_predictor(Path(sys.argv[1]), num_threads=1); "
        "print([name for name in ('torch', 'onnx', 'lightning', 'hydra', 'mlflow', 'pandas', 'scipy', 'pyarrow') "
        "if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program, str(made)], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert result.stderr == ""


@pytest.mark.parametrize("name", ["bundle.json", "card.md", "drift.npz", "graph.onnx", "reference.npz"])
def test_one_changed_byte_and_nothing_opens(folder: Path, name: str) -> None:
    """Whichever file it is in, with or without the reference predictions."""
    broken = bytearray((folder / name).read_bytes())
    broken[len(broken) // 2] ^= 1
    (folder / name).write_bytes(broken)
    for verify in (True, False):
        with pytest.raises(IntegrityError, match=name):
            open_predictor(folder, verify=verify)


def other_mean(folder: Path) -> dict[str, Any]:
    """The preprocess with another mean."""
    preprocess = steps(folder)
    preprocess["normalize"]["params"]["mean"] = [0.51]
    return {"preprocess": list(preprocess.values())}


def other_std(folder: Path) -> dict[str, Any]:
    """The preprocess with another standard deviation."""
    preprocess = steps(folder)
    preprocess["normalize"]["params"]["std"] = [0.26]
    return {"preprocess": list(preprocess.values())}


def cropped(folder: Path) -> dict[str, Any]:
    """The preprocess with a larger resize and a crop of the network's size."""
    decode, resize, normalize = steps(folder).values()
    resize["params"].update(height=32, width=32)
    crop = {"name": "center_crop", "params": {"height": 28, "width": 28}}
    return {"preprocess": [decode, resize, crop, normalize]}


def other_size(folder: Path) -> dict[str, Any]:
    """The preprocess with a resize to another size than the network's."""
    preprocess = steps(folder)
    preprocess["resize"]["params"]["height"] = 20
    return {"preprocess": list(preprocess.values())}


def small_limit(folder: Path) -> dict[str, Any]:
    """The preprocess with a pixel limit that the reference inputs exceed."""
    preprocess = steps(folder)
    preprocess["decode_image"]["params"]["max_pixels"] = 100
    return {"preprocess": list(preprocess.values())}


@pytest.mark.parametrize("change", [other_mean, other_std, cropped, small_limit])
def test_another_preprocess_is_skew(folder: Path, change: Callable[[Path], dict[str, Any]]) -> None:
    """A preprocess that training did not use is refused at start-up, though every digest was corrected."""
    reseal(folder, change(folder))
    read_bundle(folder)
    with pytest.raises(SkewError):
        open_predictor(folder)


def test_a_preprocess_of_another_size_is_refused(folder: Path) -> None:
    """Images that the graph cannot take are refused before one is predicted, with both sizes."""
    reseal(folder, other_size(folder))
    with pytest.raises(IntegrityError, match=r"gives float32 of 1×20×28; the graph takes float32\(None, 1, 28, 28\)"):
        open_predictor(folder, verify=False)


def test_the_sentence_of_skew_carries_its_figures(folder: Path) -> None:
    """How many inputs, how far off, and what would have been accepted."""
    reseal(folder, other_mean(folder))
    with pytest.raises(SkewError) as caught:
        open_predictor(folder)
    assert "does not reproduce its reference predictions: outputs of 16 differ by 0." in caught.value.message
    assert "(tolerance 0.001)" in caught.value.message


def test_another_network_is_skew(folder: Path, tmp_path: Path) -> None:
    """A graph with other weights of the same shapes is refused, though every digest was corrected."""
    other = make_bundle(tmp_path / "other", seed=1)
    reseal(folder, {}, {"graph.onnx": (other / "graph.onnx").read_bytes()})
    with pytest.raises(SkewError, match="labels changed"):
        open_predictor(folder)


def test_a_network_of_another_shape_is_refused(folder: Path, tmp_path: Path) -> None:
    """A graph whose inputs are not those that the bundle promises does not open."""
    other = make_bundle(tmp_path / "other", height=20, width=24)
    reseal(folder, {}, {"graph.onnx": (other / "graph.onnx").read_bytes()})
    with pytest.raises(IntegrityError, match=r"image float32\[batch, 1, 20, 24\]; the bundle promises .*28, 28"):
        open_predictor(folder)


def test_what_is_no_graph_is_refused(folder: Path) -> None:
    """Bytes that no runtime can load end with a sentence of ours."""
    reseal(folder, {}, {"graph.onnx": b"no graph"})
    with pytest.raises(IntegrityError, match="cannot load the graph"):
        open_predictor(folder)


def test_nan_is_no_answer(folder: Path) -> None:
    """A graph with a broken weight does not verify, and where nobody verified it raises instead of answering."""
    model = onnx.load(folder / "graph.onnx")
    weights = onnx.numpy_helper.to_array(model.graph.initializer[1]).copy()
    weights[0, 0] = np.nan
    model.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(weights, model.graph.initializer[1].name))
    reseal(folder, {}, {"graph.onnx": model.SerializeToString()})
    with pytest.raises(SkewError, match="returned NaN or infinity in logits"):
        open_predictor(folder)
    with pytest.raises(StateError, match="returned NaN or infinity in logits"):
        open_predictor(folder, verify=False).predict_raw([make_png()])


def test_a_swapped_label_is_skew(folder: Path) -> None:
    """Expected outputs whose likeliest class is another one are refused."""
    raws, expected = read_reference(folder, read_bundle(folder))
    expected["logits"] = np.ascontiguousarray(expected["logits"][:, ::-1])
    reseal(folder, {}, {"reference.npz": pack_reference(raws, expected)})
    with pytest.raises(SkewError, match="labels changed"):
        open_predictor(folder)


def test_an_engine_that_is_too_old_is_refused(folder: Path) -> None:
    """The least version stands in the bundle, and the sentence says how to get it."""
    runtime = read_bundle(folder).runtime.model_dump(mode="json")
    reseal(folder, {"runtime": {**runtime, "minimum_version": "99.1"}})
    with pytest.raises(StateError, match=r"this bundle expects 99\.1 or newer") as caught:
        open_predictor(folder)
    assert caught.value.next_command == "pip install 'onnxruntime>=99.1'"


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"task": "regression"}, IntegrityError, "the graph returns logits, embedding; expected value and embedding"),
        ({"input_kind": "text"}, IntegrityError, "takes text inputs; its preprocess decodes image"),
        ({"postprocess": [{"name": "argmax", "params": {}}]}, UnknownName, "transform 'argmax' does not exist"),
        ({"postprocess": []}, ConfigError, "expected 'probability', as softmax gives"),
        (
            {"graphs": {"int4": "graph.onnx"}},
            ConfigError,
            "has the graphs int4; expected one of float32, int8, float16",
        ),
        (
            {"postprocess": [{"name": "softmax", "params": {"input": "logit"}}]},
            ConfigError,
            "'logit' given; there is logits, embedding",
        ),
        ({"label_names": ["a", "b"]}, IntegrityError, r"2 label names for logits of \[3\]"),
    ],
)
def test_what_the_predictor_cannot_do_is_said(
    folder: Path, change: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    """A sealed bundle of another kind ends with a sentence before anything is predicted."""
    reseal(folder, change)
    with pytest.raises(error, match=sentence):
        open_predictor(folder)


def test_parts_of_the_reference_inputs_are_all_of_them(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three that share them predict each once; where there are more of them than inputs, each predicts one."""
    predictor = opened(made, num_threads=1)
    raws, _ = read_reference(made, predictor.bundle)
    seen: list[bytes] = []
    decode = predictor.decode

    def noted(raw: bytes) -> Any:
        seen.append(raw)
        return decode(raw)

    monkeypatch.setattr(predictor, "decode", noted)
    for part in range(3):
        predictor.verify(part=part, num_parts=3)
    assert sorted(seen) == sorted(raws)
    seen.clear()
    predictor.verify(part=len(raws) + 1, num_parts=2 * len(raws))
    assert seen == [raws[1]]
