"""Which layers of a network learn, by epoch. Nothing is kept: a resumed run finds them by its epoch."""

from __future__ import annotations

from pydantic import Field
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from loopline.core.records import Record
from loopline.networks import Network


class FinetuneConfig(Record):
    """How pretrained weights are kept from being spoilt; the defaults train everything from the first step on."""

    # In the first so many epochs only the head learns, because a random head teaches the layers below it noise.
    freeze_epochs: int = Field(default=0, ge=0)
    # So many layers from the input on never learn: the first ones see edges and colours, and cost most of the time.
    frozen_layers: int = Field(default=0, ge=0)
    # Normalization layers keep the mean and variance they came with, which small batches would only blur.
    frozen_statistics: bool = False

    def apply(self, network: Network, epoch: int) -> None:
        """Lets the layers of this epoch learn and no others; to be called before every training step."""
        if not (self.freeze_epochs or self.frozen_layers or self.frozen_statistics):
            return
        layers = network.layers()
        first = len(layers) - 1 if epoch < self.freeze_epochs else min(self.frozen_layers, len(layers) - 1)
        for index, layer in enumerate(layers):
            for parameter in layer:
                parameter.requires_grad_(index >= first)
        for module in network.modules():
            # A layer that does not learn keeps its statistics, too.
            if isinstance(module, _BatchNorm):
                module.train(not self.frozen_statistics and _learns(module))


def _learns(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
