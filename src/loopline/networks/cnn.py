"""A small convolutional network for small images, quick on a few CPU cores.

Narrow where the maps are large: on 28×28 images almost all time goes into the first layer's maps, and on a CPU into
moving them, not into multiplying. Three poolings before the average: clothes differ by where things are, which an
average over 7×7 places forgets and one over 3×3 does not.
N examples, C channels, H height, W width, K outputs, D embedding.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from loopline.networks.network import MAX_EMBEDDING, Network, NetworkConfig, conv_block
from loopline.networks.views import ALL_FLIPS, NO_FLIPS, over_views


class CnnConfig(NetworkConfig):
    """`width` is the one dial: the four layers have width / 2, 2 × width and twice min(4 × width, 128) channels."""

    name: Literal["cnn"] = "cnn"
    width: int = Field(default=32, ge=2, le=1024)
    # Share of the embedding that is dropped before the last layer while training.
    dropout: float = Field(default=0.0, ge=0, lt=1)
    # Outputs are means over flips when the network is used: for pictures that have no top and no left.
    test_time_flips: bool = False

    def build(self, *, input_shape: tuple[int, ...], num_outputs: int) -> Network:
        network = Cnn(self, in_channels=input_shape[0], num_outputs=num_outputs)
        return over_views(network, flips=ALL_FLIPS if self.test_time_flips else NO_FLIPS)


class Cnn(Network):
    """Four convolutions with three poolings, global average pooling, linear head; any image from 8×8."""

    def __init__(self, config: CnnConfig, *, in_channels: int, num_outputs: int) -> None:
        super().__init__()
        width, embedding = config.width, min(4 * config.width, MAX_EMBEDDING)
        self.features = nn.Sequential(
            conv_block(in_channels, width // 2),
            nn.MaxPool2d(2),
            conv_block(width // 2, 2 * width),
            nn.MaxPool2d(2),
            conv_block(2 * width, embedding),
            nn.MaxPool2d(2),
            conv_block(embedding, embedding),
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(embedding, num_outputs)

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        embedding_ND = self.features(x_NCHW).mean(dim=(2, 3))
        return self.head(self.dropout(embedding_ND)), embedding_ND
