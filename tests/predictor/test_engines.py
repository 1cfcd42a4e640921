"""One graph, several engines: each gives the bundle's predictions, and the quickest is found by trying."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from loopline.bundle import read_bundle
from loopline.core.errors import IntegrityError, LooplineError, StateError, UnknownName
from loopline.predictor import Predictor, open_predictor
from loopline.predictor.choosing import choose_engine
from loopline.predictor.engine import ENGINES, allowed_engines
from loopline.predictor.onnx import CudaEngine, TensorRtEngine
from loopline.testing import make_bundle, make_png

GPU = {"onnxruntime-cuda": CudaEngine, "tensorrt": TensorRtEngine}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_reproduces_the_reference_predictions(engine: str, folder: Path) -> None:
    """For one example and for several, by its own kind of object; what a machine lacks is one sentence."""
    try:
        opened = open_predictor(folder, engine=engine, num_threads=1)
    except (LooplineError, ImportError) as error:
        if engine == "onnxruntime":
            raise
        pytest.skip(str(error))
    assert isinstance(opened, Predictor)
    assert type(opened.engine).__module__ + ":" + type(opened.engine).__name__ == ENGINES[engine]
    assert opened.engine.num_threads == 1
    own = open_predictor(folder, num_threads=1)
    raws = [make_png(seed=seed) for seed in range(5)]
    for given in (raws[:1], raws, raws[:2], raws[2:3]):
        for answer, expected in zip(opened.predict_raw(given), own.predict_raw(given), strict=True):
            np.testing.assert_allclose(answer.outputs, expected.outputs, atol=1e-4)
            np.testing.assert_allclose(answer.embedding, expected.embedding, atol=1e-3)


def test_openvino_is_safe_between_threads(folder: Path) -> None:
    """Threads that predict different pictures at once get each their own answer."""
    pytest.importorskip("openvino")
    opened = open_predictor(folder, engine="openvino", num_threads=1)
    raws = [make_png(seed=seed) for seed in range(8)]
    expected = [opened.predict_raw([raw])[0].outputs for raw in raws]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(20):
            found = list(threads.map(lambda raw: opened.predict_raw([raw])[0].outputs, raws))
            np.testing.assert_array_equal(found, expected)


def test_openvino_refuses_what_is_no_graph() -> None:
    openvino = pytest.importorskip("loopline.predictor.openvino")
    with pytest.raises(IntegrityError, match="cannot load the graph"):
        openvino.OpenVinoEngine(b"no graph")


@pytest.mark.parametrize("engine", GPU)
def test_a_gpu_that_is_not_there_is_one_sentence(engine: str, folder: Path) -> None:
    """Nothing falls back to the processor unasked."""
    import onnxruntime

    if GPU[engine].providers[0] in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime is built for GPUs")
    with pytest.raises(StateError, match=f"was built without {GPU[engine].providers[0]}"):
        open_predictor(folder, engine=engine)


def test_an_unknown_engine_lists_those_that_read_the_bundle(folder: Path) -> None:
    with pytest.raises(UnknownName, match=r"engine 'onnxrutime' of bundle 'tiny'.*Did you mean 'onnxruntime'"):
        open_predictor(folder, engine="onnxrutime")
    bundle = read_bundle(folder)
    assert set(allowed_engines(bundle)) == set(ENGINES)
    texts = bundle.model_copy(update={"runtime": bundle.runtime.model_copy(update={"engine": "ctranslate2"})})
    assert allowed_engines(texts) == ("ctranslate2",)


def test_the_quickest_engine_is_chosen_and_every_trial_told(folder: Path) -> None:
    """Rates for those that are here, a sentence for those that are not."""
    choice = choose_engine(folder, num_threads=1, seconds=0.05)
    assert next(trial.engine for trial in choice.trials if trial.examples_per_s) == choice.engine
    assert {trial.engine for trial in choice.trials} == set(ENGINES)
    rates = [trial.examples_per_s or 0 for trial in choice.trials]
    assert rates == sorted(rates, reverse=True)
    assert str(choice).startswith(f"engine {choice.engine}: the quickest on the reference inputs ({choice.engine}: ")
    assert all(trial.reason or trial.examples_per_s for trial in choice.trials)


def test_an_engine_that_predicts_otherwise_is_not_chosen(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project's own engine is tried, too; one that is quick and wrong is told and passed over."""
    (tmp_path / "wrong_engine.py").write_text(
        "from loopline.predictor.onnx import OnnxEngine\n\n\nclass Wrong(OnnxEngine):\n"
        "    def run(self, inputs, names):\n"
        "        return {name: 0 * array for name, array in super().run(inputs, names).items()}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOOPLINE_EXTEND", "engine.wrong=wrong_engine:Wrong")
    choice = choose_engine(folder, num_threads=1, seconds=0.02)
    (wrong,) = [trial for trial in choice.trials if trial.engine == "wrong"]
    assert wrong.examples_per_s is None
    assert "does not reproduce its" in wrong.reason
