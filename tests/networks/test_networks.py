"""Every network gives logits and a narrow embedding, for any image, and comes back from a run's folder."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loopline.core.errors import ConfigError, IntegrityError, StateError, UnknownName
from loopline.core.records import CodeState, DatasetRef, Environment, Run, Signature, TransformStep, utc_now
from loopline.core.store import digest_json, write_record
from loopline.networks import Network, build_network, load_checkpoint, read_checkpoint
from loopline.networks.network import MAX_EMBEDDING


@pytest.mark.parametrize("name", ["cnn", "resnet"])
@settings(max_examples=8, deadline=None)
@given(
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    channels=st.sampled_from([1, 3]),
    num_outputs=st.integers(1, 20),
)
def test_any_image_gives_logits_and_embedding(
    name: str, height: int, width: int, channels: int, num_outputs: int
) -> None:
    """Any size from 8×8, any number of channels and classes."""
    network = build_network(name, {"width": 4}, input_shape=(channels, 32, 32), num_outputs=num_outputs).eval()
    with torch.inference_mode():
        logits_NK, embedding_ND = network(torch.randn(2, channels, height, width))
    assert logits_NK.shape == (2, num_outputs)
    assert embedding_ND.shape[0] == 2
    assert embedding_ND.shape[1] <= MAX_EMBEDDING


@pytest.mark.parametrize("name", ["cnn", "cnn3", "mlp", "resnet"])
def test_wide_network_keeps_a_narrow_embedding(name: str) -> None:
    """The embedding is logged with every prediction: it does not grow with the network."""
    _, embedding_ND = build_network(name, {"width": 128}, input_shape=(1, 16, 16), num_outputs=2)(
        torch.randn(2, 1, 16, 16)
    )
    assert embedding_ND.shape == (2, MAX_EMBEDDING)


@pytest.mark.parametrize("name", ["cnn", "mlp", "resnet"])
def test_width_takes_effect(name: str) -> None:
    """A wider network has more weights."""
    sizes = [
        sum(
            p.numel()
            for p in build_network(name, {"width": width}, input_shape=(1, 16, 16), num_outputs=2).parameters()
        )
        for width in (4, 8)
    ]
    assert sizes[1] > 2 * sizes[0]


@pytest.mark.parametrize("name", ["cnn", "cnn3", "mlp", "resnet"])
def test_dropout_takes_effect_in_training_only(name: str) -> None:
    """Two passes differ while training and agree in evaluation."""
    network = build_network(name, {"width": 8, "dropout": 0.5}, input_shape=(1, 16, 16), num_outputs=3)
    x_NCHW = torch.randn(4, 1, 16, 16)
    assert not torch.equal(network(x_NCHW)[0], network(x_NCHW)[0])
    network.eval()
    assert torch.equal(network(x_NCHW)[0], network(x_NCHW)[0])


@pytest.mark.parametrize(("size_px", "stages"), [(8, 1), (16, 2), (32, 3), (48, 3), (64, 4), (128, 5)])
def test_resnet_has_stages_by_size(size_px: int, stages: int) -> None:
    """The last maps are about 4×4, unless the number of stages is given."""
    derived = build_network("resnet", {"width": 2}, input_shape=(1, size_px, size_px), num_outputs=2)
    given = build_network("resnet", {"width": 2, "stages": stages}, input_shape=(1, 9, 9), num_outputs=2)
    assert [p.shape for p in derived.parameters()] == [p.shape for p in given.parameters()]


def test_three_blocks_take_the_size_they_were_built_for() -> None:
    """Any shape of picture, odd ones too, but at least 8×8; the dense layer is as large as the last maps."""
    network = build_network("cnn3", {"width": 4}, input_shape=(3, 33, 50), num_outputs=5)
    logits_NK, embedding_ND = network(torch.randn(2, 3, 33, 50))
    assert (logits_NK.shape, embedding_ND.shape) == ((2, 5), (2, MAX_EMBEDDING))
    with pytest.raises(ConfigError, match="'cnn3' takes pictures from 8×8"):
        build_network("cnn3", {}, input_shape=(3, 4, 50), num_outputs=5)


def test_mistakes_are_named() -> None:
    """An unknown network lists the known ones, an unknown parameter the parameters."""
    with pytest.raises(UnknownName, match="network 'cn' does not exist; known: cnn, cnn3"):
        build_network("cn", {}, input_shape=(1, 16, 16), num_outputs=2)
    with pytest.raises(ConfigError, match=r"unknown key 'model\.widht'.*Did you mean 'model\.width'"):
        build_network("cnn", {"widht": 3}, input_shape=(1, 16, 16), num_outputs=2)


def _run_folder(folder: Path, model: Mapping[str, Any], network: Network) -> Path:
    dataset = DatasetRef(name="digits", version="0" * 64)
    config = {"model": dict(model)}
    code = CodeState(loopline_version="0")
    environment = Environment(python="3", platform="p", device="cpu", num_cpus=1, packages_digest="0" * 64)
    run = Run(
        run_id="r",
        kind="train",
        status="running",
        config=config,
        config_digest=digest_json(config),
        dataset=dataset,
        code=code,
        environment=environment,
        seed=0,
        started_at=utc_now(),
    )
    write_record(folder / "run.json", run)
    signature = Signature(
        task="classification",
        input_kind="image",
        dataset=dataset,
        preprocess=(TransformStep(name="decode_image"),),
        input_shape=(1, 16, 16),
        num_outputs=3,
        label_names=("a", "b", "c"),
    )
    write_record(folder / "signature.json", signature)
    (folder / "checkpoints").mkdir()
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state}, folder / "checkpoints" / "best.ckpt")
    return folder


@pytest.fixture
def network() -> Network:
    """A small network with weights of its own."""
    return build_network("cnn", {"width": 4}, input_shape=(1, 16, 16), num_outputs=3).eval()


def test_checkpoint_gives_the_network_back(tmp_path: Path, network: Network) -> None:
    """Same outputs, in evaluation mode."""
    loaded = load_checkpoint(_run_folder(tmp_path, {"name": "cnn", "width": 4}, network))
    x_NCHW = torch.randn(2, 1, 16, 16)
    assert not loaded.training
    assert torch.equal(loaded(x_NCHW)[0], network(x_NCHW)[0])


def test_checkpoint_that_is_not_there_yet(tmp_path: Path, network: Network) -> None:
    """A run that has saved nothing says so."""
    folder = _run_folder(tmp_path, {"name": "cnn", "width": 4}, network)
    with pytest.raises(StateError, match=r"run 'r' \(running\) has no last checkpoint"):
        load_checkpoint(folder, which="last")


def test_checkpoint_of_another_network(tmp_path: Path, network: Network) -> None:
    """Weights that do not fit what run.json describes are refused."""
    with pytest.raises(IntegrityError, match="is not of the network"):
        load_checkpoint(_run_folder(tmp_path, {"name": "cnn", "width": 8}, network))


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("executed",))


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps(_Code()), pickle.dumps({"other": 1})])
def test_damaged_or_executable_checkpoint_is_refused(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """No bytes make it raise anything else, and none are executed."""
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(IntegrityError):
        read_checkpoint(tmp_path / "last.ckpt")
    assert "executed" not in capsys.readouterr().out


def test_resnet_over_the_mirror_image() -> None:
    """In use the answer to a picture and to its mirror image is one; while training it is not."""
    network = build_network("resnet", {"width": 4, "test_time_mirror": True}, input_shape=(3, 16, 16), num_outputs=3)
    x_NCHW = torch.randn(4, 3, 16, 16)
    mirrored_NCHW = x_NCHW.flip(3)
    assert not torch.allclose(network(x_NCHW)[0], network(mirrored_NCHW)[0])
    network.eval()
    torch.testing.assert_close(network(x_NCHW), network(mirrored_NCHW))
    plain_NK = (network.network(x_NCHW)[0] + network.network(mirrored_NCHW)[0]) / 2  # type: ignore[operator]  # a module
    torch.testing.assert_close(network(x_NCHW)[0], plain_NK)


@pytest.mark.parametrize("mirror", [False, True])
def test_resnet_over_two_shifts(mirror: bool) -> None:
    """In use it answers with the mean over the picture moved up left and down right, its edges repeated."""
    config = {"width": 4, "test_time_shift_px": 2, "test_time_mirror": mirror}
    network = build_network("resnet", config, input_shape=(3, 16, 16), num_outputs=3).eval()
    x_NCHW = torch.randn(4, 3, 16, 16)
    before, after = torch.arange(-2, 14).clamp(min=0), torch.arange(2, 18).clamp(max=15)
    views = [x_NCHW[:, :, places][:, :, :, places] for places in (before, after)]
    if mirror:
        views += [view_NCHW.flip(3) for view_NCHW in views]
    outputs = [network.network(view_NCHW)[0] for view_NCHW in views]  # type: ignore[operator]  # a module
    torch.testing.assert_close(network(x_NCHW)[0], sum(outputs) / len(outputs))
