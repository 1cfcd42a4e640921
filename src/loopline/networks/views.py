"""Averaging over several views of a picture when a network is used: mirrored, turned over, moved by a pixel.

It is part of the network, so that evaluation, the exported graph and the server all do it. N examples, C channels, H
height, W width, K outputs, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

import torch
from torch import Tensor, nn

from loopline.networks.network import Network

Flips = tuple[tuple[int, ...], ...]
# Axes of x_NCHW that are turned: none; none and left to right; and, for pictures without a top, upside down and both.
NO_FLIPS: Flips = ((),)
MIRROR: Flips = (*NO_FLIPS, (3,))
ALL_FLIPS: Flips = (*MIRROR, (2,), (2, 3))
View = Callable[[Tensor], Tensor]


class OverViews(Network):
    """In evaluation mode the mean of a network's outputs and embeddings over views; in training the network's."""

    def __init__(self, network: Network, views: Iterable[View]) -> None:
        super().__init__()
        self.network = network
        self._views = tuple(views)

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        views = (x_NCHW,) if self.training else (view(x_NCHW) for view in self._views)
        outputs, embeddings = zip(*map(self.network, views), strict=True)
        return torch.stack(outputs).mean(dim=0), torch.stack(embeddings).mean(dim=0)

    def layers(self) -> list[list[nn.Parameter]]:
        return self.network.layers()

    def one_view(self) -> Network:
        return self.network


def over_views(network: Network, *, flips: Flips = NO_FLIPS, shift_px: int = 0) -> Network:
    """The network, averaged over flips of the picture; or of two pictures, moved by `shift_px` up left and down right.

    Two shifts put the picture on other places of the strided grid than no shift; the picture itself adds little
    beside them. Without flips and shift this is the network as it is.
    """
    shifts = (-shift_px, shift_px) if shift_px else (0,)
    views = [_view(axes, shift) for shift, axes in product(shifts, flips)]
    return OverViews(network, views) if len(views) > 1 else network


def _view(axes: tuple[int, ...], shift_px: int) -> View:
    def view(x_NCHW: Tensor) -> Tensor:
        if shift_px:
            height, width = x_NCHW.shape[2:]
            margin_px = abs(shift_px)
            first = margin_px - shift_px
            wider_NCHW = nn.functional.pad(x_NCHW, (margin_px,) * 4, mode="replicate")
            x_NCHW = wider_NCHW[:, :, first : first + height, first : first + width]
        return torch.flip(x_NCHW, axes) if axes else x_NCHW

    return view
