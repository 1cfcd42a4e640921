"""Averaging over flips when a network is used, for pictures that look alike from either side.

It is part of the network, so that evaluation, the exported graph and the server all do it. N examples, C channels, H
height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from loopline.networks.network import Network

# Axes of x_NCHW that are turned, beside none: one, the other, both; or left to right only.
ALL_FLIPS = ((3,), (2,), (2, 3))
MIRROR = ((3,),)
Flips = tuple[tuple[int, ...], ...]


class OverFlips(Network):
    """In evaluation mode the mean of a network's outputs and embeddings over flips; in training the network's."""

    def __init__(self, network: Network, flips: Flips = ALL_FLIPS) -> None:
        super().__init__()
        self.network = network
        self._flips = flips

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        outputs_NK, embedding_ND = self.network(x_NCHW)
        if self.training:
            return outputs_NK, embedding_ND
        for axes in self._flips:
            more_NK, more_ND = self.network(torch.flip(x_NCHW, axes))
            outputs_NK, embedding_ND = outputs_NK + more_NK, embedding_ND + more_ND
        num_views = 1 + len(self._flips)
        return outputs_NK / num_views, embedding_ND / num_views

    def layers(self) -> list[list[nn.Parameter]]:
        return self.network.layers()


def over_flips(network: Network, wanted: bool, flips: Flips = ALL_FLIPS) -> Network:
    """The network, averaged over flips where that is wanted."""
    return OverFlips(network, flips) if wanted else network
