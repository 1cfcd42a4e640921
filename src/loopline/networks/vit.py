"""A vision transformer: a picture as a row of patches (Dosovitskiy and others, An Image is Worth 16x16 Words:
Transformers for Image Recognition at Scale, ICLR 2021).

N examples, C channels, H height, W width, P patches, V values of a patch, T tokens (the class token and the patches),
K outputs, D embedding.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
from einops import rearrange, repeat
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from loopline.core.errors import ConfigError
from loopline.networks.network import MAX_EMBEDDING, Network, NetworkConfig
from loopline.networks.views import ALL_FLIPS, NO_FLIPS, over_views


class VitConfig(NetworkConfig):
    """`width` of a token, at most 128, for the class token is the embedding; `depth` blocks of `heads` heads each."""

    name: Literal["vit"] = "vit"
    # In pixels; the picture's height and width must be multiples.
    patch_height: int = Field(default=32, ge=1, le=1024)
    patch_width: int = Field(default=53, ge=1, le=1024)
    width: int = Field(default=64, ge=8, le=MAX_EMBEDDING)
    depth: int = Field(default=4, ge=1, le=24)
    heads: int = Field(default=4, ge=1, le=32)
    # Share of every block's outputs that is dropped while training.
    dropout: float = Field(default=0.0, ge=0, lt=1)
    # Outputs are means over flips when the network is used: for pictures that have no top and no left.
    test_time_flips: bool = False

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        return self

    def build(self, *, input_shape: tuple[int, ...], num_outputs: int) -> Network:
        height, width = input_shape[-2:]
        if len(input_shape) != 3 or height % self.patch_height or width % self.patch_width:
            raise ConfigError(
                f"patches of {self.patch_height}×{self.patch_width} given for pictures of {height}×{width}; expected "
                "both lengths to divide the picture's."
            )
        grid = (height // self.patch_height, width // self.patch_width)
        network = Vit(self, in_channels=input_shape[0], grid=grid, num_outputs=num_outputs)
        return over_views(network, flips=ALL_FLIPS if self.test_time_flips else NO_FLIPS)


class Vit(Network):
    """Patches, each projected to a token; blocks in which tokens look at each other; head on the class token."""

    def __init__(self, config: VitConfig, *, in_channels: int, grid: tuple[int, int], num_outputs: int) -> None:
        super().__init__()
        self.patch = (config.patch_height, config.patch_width)
        num_values = in_channels * config.patch_height * config.patch_width
        self.project = nn.Sequential(nn.Linear(num_values, config.width), nn.LayerNorm(config.width))
        # The class token has a position of its own, the first.
        self.class_token_D = nn.Parameter(torch.zeros(config.width))
        self.positions_TD = nn.Parameter(0.02 * torch.randn(1 + grid[0] * grid[1], config.width))
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, num_outputs)

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        height, width = self.patch
        patches_NPV = rearrange(x_NCHW, "n c (rows h) (columns w) -> n (rows columns) (c h w)", h=height, w=width)
        class_N1D = repeat(self.class_token_D, "d -> n 1 d", n=x_NCHW.shape[0])
        tokens_NTD = torch.cat([class_N1D, self.project(patches_NPV)], dim=1) + self.positions_TD
        embedding_ND = self.norm(self.blocks(tokens_NTD)[:, 0])
        return self.head(embedding_ND), embedding_ND


class Block(nn.Module):
    """Attention, then a perceptron of four times the width; both add to their input, which they see normalised."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Sequential(nn.Linear(width, width), nn.Dropout(config.dropout))
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            nn.Dropout(config.dropout),
        )

    def forward(self, tokens_NTD: Tensor) -> Tensor:
        given = self.queries_keys_values(self.norm_attention(tokens_NTD))
        queries, keys, values = rearrange(given, "n t (three heads d) -> three n heads t d", three=3, heads=self.heads)
        seen = scaled_dot_product_attention(queries, keys, values)
        tokens_NTD = tokens_NTD + self.out(rearrange(seen, "n heads t d -> n t (heads d)"))
        out: Tensor = tokens_NTD + self.perceptron(tokens_NTD)
        return out
