"""What every network is.

N examples, C channels, H height, W width, K outputs, D embedding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from loopline.core.records import Component

# Wide enough for every recipe so far, narrow enough to be kept with each logged prediction.
MAX_EMBEDDING = 128


class Network(nn.Module, ABC):
    """A module with two outputs."""

    @abstractmethod
    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """A batch of float32 examples to `(outputs_NK, embedding_ND)`: logits or values, and D at most 128."""

    def layers(self) -> list[list[nn.Parameter]]:
        """All parameters, layer by layer from the input to the head: what fine-tuning freezes and slows down."""
        parts = [part for child in self.children() for part in (child if isinstance(child, nn.Sequential) else [child])]
        layers = [list(part.parameters()) for part in parts]
        return [layer for layer in layers if layer]

    def one_view(self) -> Network:
        """The network that sees a picture once: without the views that some are averaged over when they are used."""
        return self


class PretrainedInput(NamedTuple):
    """How the pictures were prepared that a network's weights were trained on."""

    height: int
    width: int
    # Per channel, in units of full scale.
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resampling: str
    # Share of the resized picture's sides that the centred crop keeps.
    crop: float


class NetworkConfig(Component, ABC):
    """A network's parameters; they stand next to the network and build it."""

    @abstractmethod
    def build(self, *, input_shape: tuple[int, ...], num_outputs: int) -> Network:
        """A freshly initialised network, by torch's global generator.

        `input_shape` is that of one example as the preprocess gives it, such as (channels, height, width). Raises
        `ConfigError` for a shape that the network cannot take.
        """

    def start(self, network: Network, *, input_shape: tuple[int, ...], num_outputs: int) -> None:
        """Gives a network that was just built the weights that training starts from; most start from random ones."""

    def pretrained_input(self) -> PretrainedInput | None:
        """How pictures were prepared for the weights that this network starts from, where somebody said so."""
        return None


def conv_block(in_channels: int, out_channels: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; size is kept at stride 1 and halved (rounded up) at stride 2."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Adds two convolution blocks to their input; channels and size stay."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(conv_block(channels, channels), conv_block(channels, channels))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out: Tensor = x_NCHW + self.blocks(x_NCHW)
        return out
