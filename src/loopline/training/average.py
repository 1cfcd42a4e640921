"""A running mean of a network's weights over the steps of training, which is what is evaluated and exported."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from loopline.networks import Network


class Average:
    """Keeps `mean`, a copy of the network, at the exponential moving average of its weights and statistics.

    The first steps count more, as (1 + steps) / (10 + steps) limits the decay: the mean does not remember the random
    weights that training began with. Source: Polyak and Juditsky, 1992; the warm-up is TensorFlow's.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.mean = copy.deepcopy(network).requires_grad_(False)
        self._network = network
        self._decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Moves the mean towards the weights as they are after `step` optimizer steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for mean, value in self._pairs():
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def swap(self) -> None:
        """Exchanges the weights of the network and those of the mean; a second call takes it back."""
        for mean, value in self._pairs():
            mean.data, value.data = value.data, mean.data

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        every = [[*network.parameters(), *network.buffers()] for network in (self.mean, self._network)]
        return list(zip(*every, strict=True))
