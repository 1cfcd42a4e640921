"""Export: the bundle answers as the checkpoint did, or does not come to exist."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from loopline.bundle import read_bundle, read_drift_reference, read_reference
from loopline.core.errors import GateRefused, InputError, InvalidExample
from loopline.core.records import TransformStep
from loopline.export import BundleFacts, export_bundle
from loopline.export.checkpoint import measure_parity
from loopline.networks import Network
from loopline.predictor import Predictor, open_predictor
from loopline.transforms import build_pipeline

Steps = tuple[TransformStep, ...]
FreshNetwork = Callable[[str], Network]


def test_the_bundle_answers_as_the_network(
    exported: Path, network: Network, raws: list[bytes], facts: BundleFacts, steps: Steps
) -> None:
    """From the same raw files, torch and the opened bundle give the same logits, embeddings and labels."""
    predictor = open_predictor(exported, num_threads=1)
    assert isinstance(predictor, Predictor)
    pipeline = build_pipeline(steps)
    x_NCHW = pipeline.collate(np.stack([pipeline.decode(raw) for raw in raws]))
    with torch.inference_mode():
        logits_NK, embedding_ND = network(torch.from_numpy(x_NCHW))
    outputs = predictor.outputs([predictor.decode(raw) for raw in raws])
    np.testing.assert_allclose(outputs["logits"], logits_NK, atol=1e-4)
    np.testing.assert_allclose(outputs["embedding"], embedding_ND, atol=1e-4)
    expected = torch.softmax(logits_NK, dim=1).numpy()
    for answer, probability_K in zip(predictor.predict_raw(raws), expected, strict=True):
        assert answer.predicted == facts.label_names[int(probability_K.argmax())]
        np.testing.assert_allclose(answer.outputs, probability_K, atol=1e-5)


@pytest.mark.parametrize("num_examples", [1, 3, 64, 130])
def test_the_batch_axis_is_free(exported: Path, raws: list[bytes], num_examples: int) -> None:
    """The graph takes any number of examples at once, one included."""
    predictor = open_predictor(exported, num_threads=1, verify=False)
    assert isinstance(predictor, Predictor)
    x_NCHW = predictor.pipeline.collate(np.stack([predictor.decode(raw) for raw in raws[:num_examples]]))
    outputs = predictor.engine.run({"image": x_NCHW}, ["logits", "embedding"])
    assert outputs["logits"].shape == (num_examples, 10)
    assert outputs["embedding"].shape == (num_examples, 32)


def test_the_record_states_what_was_done(exported: Path, facts: BundleFacts, steps: Steps) -> None:
    """Parity was measured on all 150 inputs, 64 became references, all 150 the drift reference; facts are as given."""
    bundle = read_bundle(exported)
    assert bundle.parity.num_inputs == 150
    assert 0 < bundle.parity.max_abs_error < bundle.parity.tolerance == 1e-4
    assert (bundle.reference.num_inputs, bundle.reference.num_drift) == (64, 150)
    assert bundle.preprocess == steps
    assert [step.name for step in bundle.postprocess] == ["softmax"]
    assert bundle.inputs[0].shape == (None, 1, 16, 16)
    assert (bundle.run_id, bundle.dataset, bundle.licence) == (facts.run_id, facts.dataset, facts.licence)
    assert (bundle.metrics, bundle.created_at) == (facts.metrics, facts.created_at)
    assert bundle.runtime.engine == "onnxruntime"


def test_references_are_the_raw_files(exported: Path, raws: list[bytes], network: Network, steps: Steps) -> None:
    """What is kept is the file as it came, and the drift reference holds what the network says of all examples."""
    bundle = read_bundle(exported)
    kept, _ = read_reference(exported, bundle)
    assert kept == raws[:64]
    drift = read_drift_reference(exported, bundle)
    pipeline = build_pipeline(steps)
    x_NCHW = pipeline.collate(np.stack([pipeline.decode(raw) for raw in raws]))
    with torch.inference_mode():
        logits_NK, embedding_ND = network(torch.from_numpy(x_NCHW))
    np.testing.assert_allclose(drift["embedding"], embedding_ND, atol=1e-4)
    np.testing.assert_allclose(drift["outputs"], torch.softmax(logits_NK, 1), atol=1e-5)


def test_the_card_states_the_facts(exported: Path, facts: BundleFacts) -> None:
    """Labels, data, licence, figures, preprocess, limits and proof stand in the model card."""
    card = (exported / "card.md").read_text(encoding="utf-8")
    for fact in (
        "# digits",
        "zero, one, two",
        facts.run_id,
        "`digits@dddddddddddd`",
        "Licence of the data: BSD-3-Clause",
        "| validation/accuracy | 0.1250 |",
        "1 × 16 × 16",
        "`normalize` mean [0.3], std [0.35]",
        "## Meant for",
        "## Limits",
        "reproduced its checkpoint on 150 inputs",
    ):
        assert fact in card


def test_the_same_network_is_the_same_bundle(
    exported: Path,
    raws: list[bytes],
    tmp_path: Path,
    fresh_network: FreshNetwork,
    facts: BundleFacts,
    steps: Steps,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Exported again, in another folder and from a network in training mode, every byte is the same, in silence."""
    network = fresh_network("cnn").train()
    again = export_bundle(network, facts, preprocess=steps, held_out_raws=raws, bundles=tmp_path)
    assert again.name == exported.name
    for path in exported.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()
    # The exporter logs; what it logs as a warning lands on the user's terminal.
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_graph_tells_nothing_about_the_machine(exported: Path) -> None:
    """No path of the source and no stack trace is in the graph; it is one file without external data."""
    graph = (exported / "graph.onnx").read_bytes()
    for trace in (b"site-packages", b".py", str(Path.cwd()).encode(), b"stack_trace"):
        assert trace not in graph
    model = onnx.load_from_string(graph)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert {domain.domain for domain in model.opset_import} <= {"", "ai.onnx"}


def test_every_network_exports(
    raws: list[bytes], tmp_path: Path, fresh_network: FreshNetwork, facts: BundleFacts, steps: Steps
) -> None:
    """The residual network becomes a bundle that opens, too; a single held-out example is enough for one."""
    network = fresh_network("resnet")
    folder = export_bundle(network, facts, preprocess=steps, held_out_raws=raws[:1], bundles=tmp_path)
    assert open_predictor(folder, num_threads=1).bundle.parity.num_inputs == 1


class Otherwise(Network):
    """A network whose exported graph computes something else than the network itself."""

    def __init__(self, inner: Network, off: float) -> None:
        super().__init__()
        self.inner = inner
        self.off = off

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        logits_NK, embedding_ND = self.inner(x_NCHW)
        return logits_NK + (self.off if torch.compiler.is_exporting() else 0.0), embedding_ND


def test_a_graph_that_differs_is_refused(
    raws: list[bytes], tmp_path: Path, fresh_network: FreshNetwork, facts: BundleFacts, steps: Steps
) -> None:
    """A difference above the tolerance is refused with its size, and nothing is written."""
    with pytest.raises(
        GateRefused, match=r"differs from its checkpoint by 0\.0\d+ on 70 inputs; expected at most 0\.0001"
    ):
        export_bundle(
            Otherwise(fresh_network("cnn"), 0.05), facts, preprocess=steps, held_out_raws=raws[:70], bundles=tmp_path
        )
    assert list(tmp_path.iterdir()) == []


def test_a_network_with_nan_is_refused(exported: Path, fresh_network: FreshNetwork) -> None:
    """NaN equals nothing, also not itself."""
    network = fresh_network("cnn")
    with torch.no_grad():
        next(network.parameters())[0] = torch.nan
    with pytest.raises(GateRefused, match="differs from its checkpoint by inf on 3 inputs"):
        measure_parity(
            network, (exported / "graph.onnx").read_bytes(), np.zeros((3, 1, 16, 16), np.float32), head="logits"
        )


def test_export_needs_held_out_examples(
    network: Network, raws: list[bytes], tmp_path: Path, facts: BundleFacts, steps: Steps
) -> None:
    """Without a single example, or with a broken one, there is no bundle."""
    with pytest.raises(InputError, match="no held-out example was given"):
        export_bundle(network, facts, preprocess=steps, held_out_raws=[], bundles=tmp_path)
    with pytest.raises(InvalidExample):
        export_bundle(network, facts, preprocess=steps, held_out_raws=[raws[0], b"text"], bundles=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_steps_of_another_size_do_not_export(
    network: Network, raws: list[bytes], tmp_path: Path, facts: BundleFacts, steps: Steps
) -> None:
    """A preprocess with the wrong number of channels fails before a bundle exists."""
    colour: Steps = (
        TransformStep(name="decode_image", params={"mode": "RGB"}),
        steps[1],
        TransformStep(name="normalize", params={"mean": [0.5] * 3, "std": [0.5] * 3}),
    )
    with pytest.raises(InputError, match="the network cannot take 3 × 16 × 16"):
        export_bundle(network, facts, preprocess=colour, held_out_raws=raws[:2], bundles=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_room_names_what_it_has() -> None:
    """A name that is not there is answered with those that are."""
    with pytest.raises(AttributeError, match="it has: BundleFacts"):
        importlib.import_module("loopline.export").export_bundel  # noqa: B018  # the access itself is what is tried
