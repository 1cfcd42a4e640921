"""A residual network for pictures of 32 to 128 pixels, quick on a few CPU cores.

The stem looks at every pixel and pools at once: three quarters of the work that a stage at full size would do are
saved, and with them most of its memory traffic, which is what a CPU waits for.
N examples, C channels, H height, W width, K outputs, D embedding.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from loopline.networks.network import MAX_EMBEDDING, Network, NetworkConfig, Residual, conv_block

_MAX_CHANNELS = 512


class ResnetConfig(NetworkConfig):
    """`stages` of `depth` residual blocks each; channels double from `width` up to 512 while the size halves.

    Three stages suit 32×32, four 64×64, five 128×128.
    """

    name: Literal["resnet"] = "resnet"
    width: int = Field(default=32, ge=1, le=512)
    stages: int = Field(default=3, ge=1, le=6)
    depth: int = Field(default=1, ge=1, le=8)
    # Share of the embedding that is dropped before the last layer while training.
    dropout: float = Field(default=0.0, ge=0, lt=1)

    def build(self, *, input_shape: tuple[int, ...], num_outputs: int) -> Resnet:
        return Resnet(self, in_channels=input_shape[0], num_outputs=num_outputs)


class Resnet(Network):
    """Stem with pooling, stages, at most 128 channels after the last, global average pooling, linear head."""

    def __init__(self, config: ResnetConfig, *, in_channels: int, num_outputs: int) -> None:
        super().__init__()
        channels = config.width
        layers: list[nn.Module] = [conv_block(in_channels, channels), nn.MaxPool2d(2)]
        for stage in range(config.stages):
            if stage:
                wider = min(2 * channels, _MAX_CHANNELS)
                layers.append(conv_block(channels, wider, stride=2))
                channels = wider
            layers += [Residual(channels) for _ in range(config.depth)]
        if channels > MAX_EMBEDDING:
            layers.append(conv_block(channels, MAX_EMBEDDING, kernel=1))
            channels = MAX_EMBEDDING
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(channels, num_outputs)

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        embedding_ND = self.features(x_NCHW).mean(dim=(2, 3))
        return self.head(self.dropout(embedding_ND)), embedding_ND
