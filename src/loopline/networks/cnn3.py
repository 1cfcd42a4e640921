"""The three-block network of many a first project: convolution, ReLU, pooling, three times, and two dense layers.

Kept as the plain thing to beat. Its first dense layer sees every place on its own, so it takes one size of picture, and
most of its weights are there: 2 million at 128×128.
N examples, C channels, H height, W width, K outputs, D embedding.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from loopline.core.errors import ConfigError
from loopline.networks.network import MAX_EMBEDDING, Network, NetworkConfig

_NUM_BLOCKS = 3


class Cnn3Config(NetworkConfig):
    """`width` channels in the first block, twice and four times as many in the others."""

    name: Literal["cnn3"] = "cnn3"
    width: int = Field(default=32, ge=1, le=512)
    # Share of the dense layer that is dropped before the last one while training.
    dropout: float = Field(default=0.5, ge=0, lt=1)

    def build(self, *, input_shape: tuple[int, ...], num_outputs: int) -> Cnn3:
        if len(input_shape) != 3 or min(input_shape[1:]) < 2**_NUM_BLOCKS:
            raise ConfigError(f"network 'cnn3' takes pictures from 8×8; examples of shape {input_shape} given.")
        return Cnn3(self, input_shape, num_outputs)


class Cnn3(Network):
    """Three blocks of 3×3 convolution, ReLU and 2×2 pooling, a dense layer (the embedding), dropout, linear head."""

    def __init__(self, config: Cnn3Config, input_shape: tuple[int, ...], num_outputs: int) -> None:
        super().__init__()
        channels, height, width = input_shape
        layers: list[nn.Module] = []
        for block in range(_NUM_BLOCKS):
            wider = config.width * 2**block
            layers += [nn.Conv2d(channels, wider, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            channels, height, width = wider, height // 2, width // 2
        dense = nn.Linear(channels * height * width, MAX_EMBEDDING)
        self.features = nn.Sequential(*layers, nn.Flatten(), dense, nn.ReLU(inplace=True))
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(MAX_EMBEDDING, num_outputs)

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        embedding_ND = self.features(x_NCHW)
        return self.head(self.dropout(embedding_ND)), embedding_ND
