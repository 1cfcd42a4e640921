"""A mean of a network's weights over training, which is what is evaluated and exported."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from loopline.networks import Network


class Average:
    """Keeps `mean`, a copy of the network, at a mean of its weights and statistics; which one, its kinds decide."""

    def __init__(self, network: Network) -> None:
        self.mean = copy.deepcopy(network).requires_grad_(False)
        self._network = network

    def after_step(self, step: int) -> None:
        """To be called after `step` optimizer steps."""

    def after_epoch(self, epoch: int) -> None:
        """To be called after the last step of an epoch, before the mean is evaluated; the first epoch is 0."""

    def swap(self) -> None:
        """Exchanges the weights of the network and those of the mean; a second call takes it back."""
        for mean, value in self._pairs():
            mean.data, value.data = value.data, mean.data

    @torch.no_grad()
    def _move(self, share: float) -> None:
        """Moves the mean towards the weights as they are by a share of the way; whole numbers are taken over."""
        for mean, value in self._pairs():
            if mean.dtype.is_floating_point:
                mean.lerp_(value, share)
            else:
                mean.copy_(value)

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        every = [[*network.parameters(), *network.buffers()] for network in (self.mean, self._network)]
        return list(zip(*every, strict=True))


class MovingAverage(Average):
    """The exponential moving average over steps.

    The first steps count more, as (1 + steps) / (10 + steps) limits the decay: the mean does not remember the random
    weights that training began with. Source: Polyak and Juditsky, 1992; the warm-up is TensorFlow's.
    """

    def __init__(self, network: Network, decay: float) -> None:
        super().__init__(network)
        self._decay = decay

    def after_step(self, step: int) -> None:
        self._move(1 - min(self._decay, (1 + step) / (10 + step)))


class EpochAverage(Average):
    """The plain mean of the weights at the ends of the last epochs of a run; before those, the weights themselves.

    Source: Vaswani et al., Attention Is All You Need, 2017, who average the last checkpoints.
    """

    def __init__(self, network: Network, *, num_epochs: int, max_epochs: int) -> None:
        super().__init__(network)
        self._first = max_epochs - num_epochs

    def after_epoch(self, epoch: int) -> None:
        self._move(1 / (max(epoch - self._first, 0) + 1))
