"""Optimizers and learning-rate schedules: two closed tables; each entry holds its parameters and builds itself."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from loopline.core.records import Component
from loopline.networks import Network

OPTIMIZERS = {
    "adamw": "loopline.training.optimizers:AdamwConfig",
    "sgd": "loopline.training.optimizers:SgdConfig",
}
SCHEDULERS = {
    "constant": "loopline.training.optimizers:ConstantConfig",
    "cosine": "loopline.training.optimizers:CosineConfig",
    "inverse_sqrt": "loopline.training.optimizers:InverseSqrtConfig",
}


class OptimizerConfig(Component, ABC):
    """An optimizer's parameters; `lr` is the peak that the schedule scales."""

    lr: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    # The rate of each layer as a share of that of the layer above it: below 1, pretrained layers change the less the
    # nearer they are to the input (Howard and Ruder, 2018).
    layer_decay: float = Field(default=1.0, gt=0, le=1)

    @abstractmethod
    def build(self, module: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of the module's parameters."""

    def groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """The parameters in groups of one rate and one weight decay each."""
        if self.layer_decay == 1 or not isinstance(module, Network):
            return _decayed_and_not(module.parameters(), self.weight_decay)
        layers = module.layers()
        return [
            {**group, "lr": self.lr * self.layer_decay ** (len(layers) - 1 - index)}
            for index, layer in enumerate(layers)
            for group in _decayed_and_not(layer, self.weight_decay)
            if group["params"]
        ]


class AdamwConfig(OptimizerConfig):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    name: Literal["adamw"] = "adamw"
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)

    def build(self, module: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.groups(module), lr=self.lr, betas=(self.beta1, self.beta2))


class SgdConfig(OptimizerConfig):
    """Stochastic gradient descent with Nesterov's momentum."""

    name: Literal["sgd"] = "sgd"
    momentum: float = Field(default=0.9, gt=0, lt=1)

    def build(self, module: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.groups(module), lr=self.lr, momentum=self.momentum, nesterov=True)


def _decayed_and_not(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Biases and normalisation scales are vectors; to pull them towards zero only hurts."""
    every = [parameter for parameter in parameters if parameter.requires_grad]
    return [
        {"params": [p for p in every if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in every if p.ndim <= 1], "weight_decay": 0.0},
    ]


class SchedulerConfig(Component, ABC):
    """A schedule: the factor on the learning rate, by the share of all steps that are done."""

    @abstractmethod
    def factor(self, progress: float) -> float:
        """The factor at `progress` in [0, 1]."""

    def build(self, optimizer: torch.optim.Optimizer, *, num_steps: int) -> LambdaLR:
        """The schedule over `num_steps` optimizer steps."""
        return LambdaLR(optimizer, lambda step: self.factor(min(step / num_steps, 1.0)))


class ConstantConfig(SchedulerConfig):
    """The peak learning rate from the first step to the last."""

    name: Literal["constant"] = "constant"

    def factor(self, progress: float) -> float:
        return 1.0


class CosineConfig(SchedulerConfig):
    """Linear warm-up over the share `warmup` of all steps, then half a cosine down to zero."""

    name: Literal["cosine"] = "cosine"
    warmup: float = Field(default=0.1, ge=0, lt=1)

    def factor(self, progress: float) -> float:
        if progress < self.warmup:
            # Never quite zero: the first step would be wasted.
            return 0.02 + 0.98 * progress / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))


class InverseSqrtConfig(SchedulerConfig):
    """Linear warm-up over the share `warmup` of all steps, then down with their root (Vaswani et al., 2017)."""

    name: Literal["inverse_sqrt"] = "inverse_sqrt"
    warmup: float = Field(default=0.1, gt=0, lt=1)

    def factor(self, progress: float) -> float:
        if progress < self.warmup:
            return 0.02 + 0.98 * progress / self.warmup
        return math.sqrt(self.warmup / progress)
