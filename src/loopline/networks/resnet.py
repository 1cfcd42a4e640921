"""A residual network for pictures of 32 to 128 pixels, quick on a few CPU cores.

The stem looks at every pixel and pools at once: three quarters of the work that a stage at full size would do are
saved, and with them most of its memory traffic, which is what a CPU waits for.
N examples, C channels, H height, W width, K outputs, D embedding.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from loopline.networks.network import MAX_EMBEDDING, Network, NetworkConfig, Residual, conv_block
from loopline.networks.views import MIRROR, NO_FLIPS, over_views

_MAX_CHANNELS = 512
_LAST_PX = 4


class ResnetConfig(NetworkConfig):
    """`stages` of `depth` residual blocks each; channels double from `width` up to 512 while the size halves."""

    name: Literal["resnet"] = "resnet"
    width: int = Field(default=32, ge=1, le=512)
    # None: as many as lead to maps of about 4×4, which is 3 for 32×32 and 5 for 128×128.
    stages: int | None = Field(default=None, ge=1, le=6)
    depth: int = Field(default=1, ge=1, le=8)
    # Share of the embedding that is dropped before the last layer while training.
    dropout: float = Field(default=0.0, ge=0, lt=1)
    # Outputs are means over the picture and its mirror image when the network is used; this takes twice as long.
    test_time_mirror: bool = False
    # Outputs are means over the picture moved so many pixels up left and down right; twice as long again.
    test_time_shift_px: int = Field(default=0, ge=0, le=16)

    def build(self, *, input_shape: tuple[int, ...], num_outputs: int) -> Network:
        stages = self.stages or max(1, min(6, int(math.log2(min(input_shape[1:]) / _LAST_PX))))
        network = Resnet(self, stages=stages, in_channels=input_shape[0], num_outputs=num_outputs)
        flips = MIRROR if self.test_time_mirror else NO_FLIPS
        return over_views(network, flips=flips, shift_px=self.test_time_shift_px)


class Resnet(Network):
    """Stem with pooling, stages, at most 128 channels after the last, global average pooling, linear head."""

    def __init__(self, config: ResnetConfig, *, stages: int, in_channels: int, num_outputs: int) -> None:
        super().__init__()
        channels = config.width
        # Normalised after the pooling, there is a quarter to normalise: where the scale is positive, as good as before.
        stem = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        layers: list[nn.Module] = [stem]
        for stage in range(stages):
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
