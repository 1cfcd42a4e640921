"""A residual network for images from 32×32: as many stages as the size deserves is a matter of `stages`.

N examples, C channels, H height, W width, K outputs, D embedding.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from loopline.networks.network import MAX_EMBEDDING, Network, NetworkConfig, Residual, conv_block


class ResnetConfig(NetworkConfig):
    """`stages` halvings of the image, each with `depth` residual blocks; channels double from `width` up to 512."""

    name: Literal["resnet"] = "resnet"
    width: int = Field(default=32, ge=1, le=512)
    stages: int = Field(default=3, ge=1, le=6)
    depth: int = Field(default=1, ge=1, le=8)
    # Share of the embedding that is dropped before the last layer while training.
    dropout: float = Field(default=0.0, ge=0, lt=1)

    def build(self, *, input_shape: tuple[int, ...], num_outputs: int) -> Resnet:
        return Resnet(self, in_channels=input_shape[0], num_outputs=num_outputs)


class Resnet(Network):
    """Stem, stages of stride 2, a 1×1 convolution to the embedding, global average pooling, linear head."""

    def __init__(self, config: ResnetConfig, *, in_channels: int, num_outputs: int) -> None:
        super().__init__()
        channels = config.width
        layers: list[nn.Module] = [conv_block(in_channels, channels)]
        for _ in range(config.stages):
            wider = min(2 * channels, 512)
            layers += [conv_block(channels, wider, stride=2), *(Residual(wider) for _ in range(config.depth))]
            channels = wider
        embedding = min(channels, MAX_EMBEDDING)
        self.features = nn.Sequential(*layers, conv_block(channels, embedding, kernel=1))
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(embedding, num_outputs)

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        embedding_ND = self.features(x_NCHW).mean(dim=(2, 3))
        return self.head(self.dropout(embedding_ND)), embedding_ND
