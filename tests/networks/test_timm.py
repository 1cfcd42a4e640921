"""Any architecture of timm: logits from all features, a narrow embedding, weights that are checked before they load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file

from loopline.core.errors import ConfigError, InputError, IntegrityError, UnknownName
from loopline.networks.network import MAX_EMBEDDING
from loopline.networks.pretrained import efficientnet_lite0, read_weights
from loopline.networks.timm import TimmConfig, TimmNetwork

# (C, H, W), small enough for seconds.
SHAPE = (3, 64, 64)


def _built(architecture: str, **parameters: object) -> TimmNetwork:
    config = TimmConfig.model_validate({"architecture": architecture, **parameters})
    network = config.build(input_shape=SHAPE, num_outputs=5)
    config.start(network, input_shape=SHAPE, num_outputs=5)
    return network


@pytest.mark.parametrize(
    "architecture", ["test_convnext", "test_efficientnet", "test_nfnet", "test_resnet", "test_vit", "test_vit3"]
)
def test_logits_are_those_of_timm(architecture: str) -> None:
    """Whatever the family: the body's own answer, beside at most 128 numbers; every parameter is in one layer."""
    network = _built(architecture).eval()
    x_NCHW = torch.randn(2, *SHAPE)
    with torch.inference_mode():
        logits_NK, embedding_ND = network(x_NCHW)
        torch.testing.assert_close(logits_NK, network.body(x_NCHW))
    assert logits_NK.shape == (2, 5)
    assert embedding_ND.shape[1] <= MAX_EMBEDDING
    layers = network.layers()
    assert {id(p) for layer in layers for p in layer} == {id(p) for p in network.parameters()}
    assert layers[-1] == list(network.head.parameters())
    assert len(layers) > 3


def test_the_embedding_keeps_distances() -> None:
    """1,280 features on 128 orthonormal directions, the same for every network, without a draw of the generator."""
    before = torch.get_rng_state()
    network = _built("tf_efficientnet_lite0")
    assert network.projection_FD is not None
    torch.testing.assert_close(network.projection_FD.T @ network.projection_FD, torch.eye(MAX_EMBEDDING))
    torch.set_rng_state(before)
    again_FD = _built("tf_efficientnet_lite0").projection_FD
    assert again_FD is not None
    assert torch.equal(network.projection_FD, again_FD)
    features_NF = torch.randn(40, 1280, generator=torch.Generator().manual_seed(0))
    ratio = torch.pdist(features_NF @ network.projection_FD) / torch.pdist(features_NF) * (1280 / MAX_EMBEDDING) ** 0.5
    assert 0.7 < float(ratio.min()) < 1 < float(ratio.max()) < 1.3


def test_dropout_and_drop_path_take_effect() -> None:
    """Two passes in training differ with either and agree without."""
    x_NCHW = torch.randn(4, *SHAPE)
    for parameters, equal in (({}, True), ({"dropout": 0.5}, False), ({"drop_path": 0.5}, False)):
        network = _built("test_vit", **parameters)
        assert torch.equal(network(x_NCHW)[0], network(x_NCHW)[0]) is equal


def test_pretrained_input_is_timms_record() -> None:
    """Size, statistics, filter and crop of the weights."""
    record = TimmConfig(architecture="tf_efficientnet_lite0").pretrained_input()
    assert (record.height, record.width, record.resampling, record.crop) == (224, 224, "bicubic", 0.875)
    assert (record.mean, record.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_packaged_weights_are_all_used() -> None:
    """Every tensor of the package lands under one of timm's names, in its shape, and no other is left over.

    That they mean the same was seen once on photographs: jeans, sweatshirts, sandals and running shoes are called so.
    """
    weights = efficientnet_lite0()
    network = TimmConfig(architecture="tf_efficientnet_lite0").build(input_shape=(3, 224, 224), num_outputs=1000)
    expected = network.body.state_dict()
    assert {name: value.shape for name, value in weights.items()} == {n: v.shape for n, v in expected.items()}
    fresh = _built("tf_efficientnet_lite0", weights="package")
    assert torch.equal(fresh.body.conv_stem.weight, weights["conv_stem.weight"])
    assert torch.equal(fresh.body.bn2.running_var, weights["bn2.running_var"])
    # The new head begins near zero.
    assert float(fresh.head.weight.detach().abs().max()) <= 1280**-0.5


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[str], tuple[Path, dict[str, torch.Tensor]]]:
    """Weights of `test_resnet` with 1,000 classes, in a file of the suffix given."""

    def save(suffix: str) -> tuple[Path, dict[str, torch.Tensor]]:
        state = TimmConfig(architecture="test_resnet").build(input_shape=SHAPE, num_outputs=1000).body.state_dict()
        path = tmp_path / f"weights{suffix}"
        if suffix == ".safetensors":
            save_file(state, path)
        else:
            torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
        return path, state

    return save


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_a_file(saved: Callable[[str], tuple[Path, dict[str, torch.Tensor]]], suffix: str) -> None:
    """Either kind loads; the head stays new."""
    path, state = saved(suffix)
    network = _built("test_resnet", weights=str(path))
    assert torch.equal(network.body.conv1[0].weight, state["conv1.0.weight"])
    assert network.head.out_features == 5


def test_weights_of_another_network_are_refused(
    saved: Callable[[str], tuple[Path, dict[str, torch.Tensor]]], tmp_path: Path
) -> None:
    """Nothing is left random without a word."""
    path, state = saved(".pth")
    with pytest.raises(ConfigError, match=r"are not of 'test_vit': \d+ of its \d+ tensors are missing \(.+unknown"):
        _built("test_vit", weights=str(path))
    del state["conv1.0.weight"]
    torch.save(state, path)
    with pytest.raises(ConfigError, match=r"1 of its \d+ tensors are missing \(conv1\.0\.weight\), 0 are unknown\."):
        _built("test_resnet", weights=str(path))
    with pytest.raises(InputError, match=r"weights '.*nowhere\.pth' given; expected none, hub, package, or"):
        _built("test_resnet", weights=str(tmp_path / "nowhere.pth"))
    path.write_bytes(b"text")
    with pytest.raises(IntegrityError, match="cannot be read as weights"):
        read_weights(path)
    torch.save({"state_dict": {"a": 1}}, path)
    with pytest.raises(IntegrityError, match="holds no dictionary of tensors"):
        read_weights(path)


def test_a_hub_that_is_not_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One sentence, and what to type instead."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="timm cannot make 'test_resnet' with weights 'hub'") as caught:
        _built("test_resnet", weights="hub")
    assert caught.value.next_command == "loopline train … model.weights=none, or the path of a file"


def test_mistakes_are_named() -> None:
    """Architectures, tags, packages and shapes that there are not."""
    with pytest.raises(UnknownName, match=r"architecture 'resnet19' of timm does not exist.*Did you mean 'resnet18'"):
        _built("resnet19")
    with pytest.raises(UnknownName, match=r"tag 'in1' of timm's architecture 'test_resnet' does not exist"):
        _built("test_resnet.in1")
    with pytest.raises(UnknownName, match=r"with packaged weights 'efficientnet_lite0' does not exist"):
        _built("efficientnet_lite0", weights="package")
    with pytest.raises(ConfigError, match="takes pictures; examples of 1 axes given"):
        TimmConfig(architecture="test_resnet").build(input_shape=(4,), num_outputs=2)
