"""The vision transformer against an independent computation, and averaging over flips."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm

from loopline.core.errors import ConfigError
from loopline.networks import Network, build_network

SHAPE = (4, 16, 12)
CONFIG = {"patch_height": 8, "patch_width": 4, "width": 16, "depth": 2, "heads": 2}


def vit(**changes: Any) -> Network:
    """A small one with random positions and class token."""
    torch.manual_seed(0)
    network = build_network("vit", CONFIG | changes, input_shape=SHAPE, num_outputs=1).eval()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return network


def slow(network: Network, x_CHW: Tensor) -> Tensor:
    """The embedding of one picture: the paper's equations with loops over patches, heads and tokens."""
    weights = dict(network.named_parameters())
    tokens: list[Tensor] = [weights["class_token_D"]]
    for top in range(0, 16, 8):
        for left in range(0, 12, 4):
            patch = x_CHW[:, top : top + 8, left : left + 4].reshape(-1)
            token = weights["project.0.weight"] @ patch + weights["project.0.bias"]
            tokens.append(layer_norm(token, (16,), weights["project.1.weight"], weights["project.1.bias"]))
    z = torch.stack(tokens) + weights["positions_TD"]
    for depth in range(2):
        part = {
            name.split(".", 2)[2]: weight for name, weight in weights.items() if name.startswith(f"blocks.{depth}.")
        }
        seen = layer_norm(z, (16,), part["norm_attention.weight"], part["norm_attention.bias"])
        given = seen @ part["queries_keys_values.weight"].T
        heads = []
        for head in range(2):
            query, key, value = (given[:, 16 * kind + 8 * head : 16 * kind + 8 * head + 8] for kind in range(3))
            heads.append(torch.softmax(query @ key.T / math.sqrt(8), dim=1) @ value)
        z = z + torch.cat(heads, dim=1) @ part["out.0.weight"].T + part["out.0.bias"]
        inner = layer_norm(z, (16,), part["perceptron.0.weight"], part["perceptron.0.bias"])
        inner = gelu(inner @ part["perceptron.1.weight"].T + part["perceptron.1.bias"])
        z = z + inner @ part["perceptron.3.weight"].T + part["perceptron.3.bias"]
    return layer_norm(z[0], (16,), weights["norm.weight"], weights["norm.bias"])


def test_it_computes_what_the_paper_says() -> None:
    network, x_NCHW = vit(), torch.randn(3, *SHAPE)
    with torch.inference_mode():
        outputs_NK, embedding_ND = network(x_NCHW)
        for index in range(3):
            torch.testing.assert_close(embedding_ND[index], slow(network, x_NCHW[index]), atol=1e-4, rtol=1e-4)
    assert (outputs_NK.shape, embedding_ND.shape) == ((3, 1), (3, 16))


def test_positions_tell_patches_apart() -> None:
    """Two patches that change places change the answer, but not where all positions are equal."""
    x_NCHW = torch.randn(1, *SHAPE)
    swapped_NCHW = x_NCHW.clone()
    swapped_NCHW[:, :, :8], swapped_NCHW[:, :, 8:] = x_NCHW[:, :, 8:], x_NCHW[:, :, :8]
    network = vit()
    with torch.inference_mode():
        assert not torch.allclose(network(x_NCHW)[0], network(swapped_NCHW)[0], atol=1e-4)
        network.get_parameter("positions_TD").zero_()
        torch.testing.assert_close(network(x_NCHW)[0], network(swapped_NCHW)[0], atol=1e-5, rtol=1e-5)


def test_the_patches_of_the_recipe_fit_its_plots() -> None:
    network = build_network("vit", {}, input_shape=(4, 160, 106), num_outputs=1)
    assert network.get_parameter("positions_TD").shape == (11, 64)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"patch_height": 5}, "patches of 5×4 given for pictures of 16×12; expected both lengths to divide"),
        ({"heads": 3}, "width 16 is no multiple of heads 3"),
        ({"width": 256}, "less than or equal to 128"),
    ],
)
def test_what_does_not_fit_is_refused(config: dict[str, int], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        vit(**config)


@pytest.mark.parametrize("name", ["cnn", "vit"])
def test_flips_are_averaged_in_use_and_not_in_training(name: str) -> None:
    config = CONFIG if name == "vit" else {"width": 4}
    torch.manual_seed(0)
    network = build_network(name, config | {"test_time_flips": True}, input_shape=SHAPE, num_outputs=1)
    torch.manual_seed(0)
    plain = build_network(name, config, input_shape=SHAPE, num_outputs=1)
    x_NCHW = torch.randn(2, *SHAPE)
    torch.testing.assert_close(network(x_NCHW), plain(x_NCHW))
    assert [len(layer) for layer in network.layers()] == [len(layer) for layer in plain.layers()]
    network.eval(), plain.eval()
    with torch.inference_mode():
        flipped = [plain(torch.flip(x_NCHW, axes))[0] for axes in ((), (2,), (3,), (2, 3))]
        torch.testing.assert_close(network(x_NCHW)[0], sum(flipped) / 4)
        torch.testing.assert_close(network(x_NCHW), network(torch.flip(x_NCHW, (3,))))
