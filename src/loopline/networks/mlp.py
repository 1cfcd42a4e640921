"""A multi-layer perceptron for rows of numbers.

N examples, F features, K outputs, D embedding.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from loopline.networks.network import MAX_EMBEDDING, Network, NetworkConfig


class MlpConfig(NetworkConfig):
    """`depth` hidden layers of `width`; the last of them is the embedding, at most 128 wide."""

    name: Literal["mlp"] = "mlp"
    width: int = Field(default=64, ge=1, le=4096)
    depth: int = Field(default=2, ge=1, le=16)
    # Share of each hidden layer that is dropped while training.
    dropout: float = Field(default=0.0, ge=0, lt=1)

    def build(self, *, input_shape: tuple[int, ...], num_outputs: int) -> Mlp:
        return Mlp(self, num_features=math.prod(input_shape), num_outputs=num_outputs)


class Mlp(Network):
    """Linear layers with ReLU and dropout, linear head; an input of several axes is flattened."""

    def __init__(self, config: MlpConfig, *, num_features: int, num_outputs: int) -> None:
        super().__init__()
        embedding = min(config.width, MAX_EMBEDDING)
        widths = [num_features, *[config.width] * (config.depth - 1), embedding]
        layers: list[nn.Module] = [nn.Flatten()]
        for given, made in pairwise(widths):
            layers += [nn.Linear(given, made), nn.ReLU(inplace=True), nn.Dropout(config.dropout)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(embedding, num_outputs)

    def forward(self, x_NF: Tensor) -> tuple[Tensor, Tensor]:
        embedding_ND = self.features(x_NF)
        return self.head(embedding_ND), embedding_ND
