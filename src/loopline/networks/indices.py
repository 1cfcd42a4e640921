"""A linear model on vegetation indices: what a network on pictures of bands has to beat.

NDVI compares near infrared with red (Rouse, Haas, Schell and Deering, Monitoring vegetation systems in the Great Plains
with ERTS, Third ERTS Symposium, NASA SP-351, 1974, 309-317), NDRE with red edge.
N examples, C bands, H height, W width, K outputs, I indices.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from loopline.core.errors import ConfigError
from loopline.networks.network import Network, NetworkConfig


class IndicesConfig(NetworkConfig):
    """The places of the bands; the preprocess must leave reflectance as it is (`input.normalization=none`)."""

    name: Literal["indices"] = "indices"
    red: int = Field(default=1, ge=0)
    red_edge: int = Field(default=2, ge=0)
    nir: int = Field(default=3, ge=0)

    def build(self, *, input_shape: tuple[int, ...], num_outputs: int) -> Indices:
        last = max(self.red, self.red_edge, self.nir)
        if len(input_shape) != 3 or input_shape[0] <= last:
            raise ConfigError(f"band {last} given for inputs of shape {input_shape}; expected one that they have.")
        return Indices(self, num_outputs=num_outputs)


class Indices(Network):
    """NDVI and NDRE of each pixel, their means over the picture, a linear model on these two."""

    def __init__(self, config: IndicesConfig, *, num_outputs: int) -> None:
        super().__init__()
        self.places = (config.red, config.red_edge, config.nir)
        # Indices differ by hundredths: brought to one scale, for gradient descent.
        self.scale = nn.BatchNorm1d(2, affine=False)
        self.head = nn.Linear(2, num_outputs)

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        red_NHW, edge_NHW, nir_NHW = (x_NCHW[:, place] for place in self.places)
        indices_NI = torch.stack([_index(nir_NHW, red_NHW), _index(nir_NHW, edge_NHW)], dim=1)
        return self.head(self.scale(indices_NI)), indices_NI


def _index(more_NHW: Tensor, less_NHW: Tensor) -> Tensor:
    """The mean over each picture of the normalised difference; 0 where both bands are black."""
    return ((more_NHW - less_NHW) / (more_NHW + less_NHW).clamp(min=1e-6)).mean(dim=(1, 2))
