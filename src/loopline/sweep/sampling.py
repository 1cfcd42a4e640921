"""Which point comes next, and which trial ends early: closed tables from a name to what builds it in Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, CmaEsSampler, QMCSampler, RandomSampler, TPESampler

from loopline.core.errors import UnknownName, missing_extra
from loopline.core.records import Choice, Dimension, FloatRange, Pruning


class Seeds(NamedTuple):
    """The sweep's seed, and one made of it and of the trial's number."""

    sweep: int
    trial: int


def sampler(name: str, seed: int, number: int) -> BaseSampler:
    """The sampler that draws trial `number`; raises `UnknownName`, or `MissingExtra` where it needs a package.

    A sampler that begins anew would draw its first points anew, so every trial has a seed of its own, except where all
    points make one sequence.
    """
    if name not in SAMPLERS:
        raise UnknownName("sampler", name, SAMPLERS)
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return SAMPLERS[name](Seeds(seed, own))
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error


def pruner(pruning: Pruning, *, max_epochs: int) -> BasePruner:
    """What ends trials early; raises `UnknownName`."""
    if pruning.name not in PRUNERS:
        raise UnknownName("pruner", pruning.name, PRUNERS)
    return PRUNERS[pruning.name](pruning, max_epochs)


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension in Optuna's words."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if isinstance(dimension, FloatRange):
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step or 1)


def _tpe(seeds: Seeds) -> BaseSampler:
    # Trials that still run count as bad ones, so that workers do not all try the same place.
    return TPESampler(seed=seeds.trial, constant_liar=True)


def _random(seeds: Seeds) -> BaseSampler:
    return RandomSampler(seed=seeds.trial)


def _qmc(seeds: Seeds) -> BaseSampler:
    # The database keeps the place in the sequence. Categories have no order and are drawn at random.
    return QMCSampler(
        seed=seeds.sweep, scramble=True, independent_sampler=_random(seeds), warn_independent_sampling=False
    )


def _cmaes(seeds: Seeds) -> BaseSampler:
    import cmaes  # noqa: F401 - Optuna imports it later, and says otherwise that it is missing

    return CmaEsSampler(seed=seeds.trial, independent_sampler=_random(seeds), warn_independent_sampling=False)


def _median(pruning: Pruning, _max_epochs: int) -> BasePruner:
    return MedianPruner(n_warmup_steps=pruning.warmup_epochs)


def _asha(pruning: Pruning, _max_epochs: int) -> BasePruner:
    return SuccessiveHalvingPruner(min_resource=pruning.warmup_epochs, reduction_factor=pruning.factor)


def _hyperband(pruning: Pruning, max_epochs: int) -> BasePruner:
    first = min(pruning.warmup_epochs, max_epochs)
    return HyperbandPruner(min_resource=first, max_resource=max_epochs, reduction_factor=pruning.factor)


def _none(_pruning: Pruning, _max_epochs: int) -> BasePruner:
    return NopPruner()


SAMPLERS: dict[str, Callable[[Seeds], BaseSampler]] = {
    "tpe": _tpe,
    "random": _random,
    # The points of a grid are listed, not drawn.
    "grid": _random,
    "qmc": _qmc,
    "cmaes": _cmaes,
}
PRUNERS: dict[str, Callable[[Pruning, int], BasePruner]] = {
    "median": _median,
    "asha": _asha,
    "hyperband": _hyperband,
    "none": _none,
}
