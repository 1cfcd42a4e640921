"""The linear model on vegetation indices."""

from __future__ import annotations

import pytest
import torch

from loopline.core.errors import ConfigError
from loopline.networks import build_network


def test_the_embedding_is_the_mean_of_both_indices() -> None:
    network = build_network("indices", {}, input_shape=(4, 6, 5), num_outputs=1).eval()
    x_NCHW = torch.rand(3, 4, 6, 5) + 0.01
    outputs_NK, indices_NI = network(x_NCHW)
    _, red, edge, nir = x_NCHW[1]
    assert indices_NI.shape == (3, 2)
    torch.testing.assert_close(indices_NI[1, 0], ((nir - red) / (nir + red)).mean())
    torch.testing.assert_close(indices_NI[1, 1], ((nir - edge) / (nir + edge)).mean())
    weight, bias = network.get_parameter("head.weight"), network.get_parameter("head.bias")
    # In evaluation before any training the scale is one.
    torch.testing.assert_close(outputs_NK, indices_NI @ weight.T + bias, atol=1e-4, rtol=1e-4)


def test_black_pixels_count_as_none() -> None:
    network = build_network("indices", {}, input_shape=(4, 6, 5), num_outputs=1).eval()
    assert torch.equal(network(torch.zeros(2, 4, 6, 5))[1], torch.zeros(2, 2))


def test_bands_are_found_at_their_places() -> None:
    x_NCHW = torch.rand(2, 4, 6, 5)
    turned = build_network("indices", {"red": 2, "red_edge": 1, "nir": 0}, input_shape=(4, 6, 5), num_outputs=1).eval()
    plain = build_network("indices", {}, input_shape=(4, 6, 5), num_outputs=1).eval()
    torch.testing.assert_close(turned(x_NCHW.flip(1))[1], plain(x_NCHW)[1])
    with pytest.raises(ConfigError, match="band 3 given for inputs of shape"):
        build_network("indices", {}, input_shape=(3, 6, 5), num_outputs=1)
