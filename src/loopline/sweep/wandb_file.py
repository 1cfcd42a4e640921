"""A sweep file of Weights & Biases, read as it is: its space becomes ours, its method a sampler, its hyperband halving.

The format: https://docs.wandb.ai/guides/sweeps/define-sweep-configuration. What would change the search and has no
counterpart here is an error, what only says how W&B runs it is named and not used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import Field

from loopline.core.errors import ConfigError, InputError, UnknownName
from loopline.core.records import Pruning, Record
from loopline.core.validation import validated

_SAMPLERS = {"grid": "grid", "random": "random", "bayes": "tpe"}
# How and where W&B runs a sweep, and what it calls it there.
_NOT_USED = (
    "program",
    "command",
    "project",
    "entity",
    "name",
    "description",
    "controller",
    "job",
    "apiVersion",
    "kind",
)
_DISTRIBUTIONS = (
    "constant", "categorical", "int_uniform", "uniform", "q_uniform", "log_uniform", "log_uniform_values",
    "q_log_uniform_values",
)  # fmt: skip
_SCIENTIFIC = re.compile(r"[+-]?\d+e[+-]?\d+", re.IGNORECASE)
# How the ends of a range are read; whole ones stay whole where the distribution says so.
_NUMBERS: dict[str, Callable[[float], float]] = {
    "int_uniform": int,
    # W&B's own: the ends are exponents of e.
    "log_uniform": math.exp,
    "q_log_uniform_values": int,
    "q_uniform": lambda end: end,
}


class WandbSweep(NamedTuple):
    """What a file says: what is fixed, what differs, fields of `SweepSettings`, and the keys that are not used."""

    overrides: tuple[str, ...]
    space: tuple[str, ...]
    settings: dict[str, Any]
    not_used: tuple[str, ...]


class _Metric(Record):
    name: str
    goal: Literal["minimize", "maximize"] = "minimize"


class _Hyperband(Record):
    type: Literal["hyperband"]
    min_iter: int | None = Field(default=None, ge=1)
    max_iter: int | None = Field(default=None, ge=1)
    s: int = Field(default=1, ge=1)
    eta: int = Field(default=3, ge=2)
    strict: bool = False


class _Parameter(Record):
    """One parameter; which keys belong together, its distribution says."""

    distribution: str | None = None
    value: Any = None
    values: list[Any] | None = None
    min: int | float | None = None
    max: int | float | None = None
    q: int | float | None = Field(default=None, gt=0)
    # Parameters inside a parameter, by name.
    parameters: dict[str, Any] | None = None


class _File(Record):
    method: Literal["grid", "random", "bayes"]
    parameters: dict[str, Any]
    metric: _Metric | None = None
    early_terminate: _Hyperband | None = None
    run_cap: int | None = Field(default=None, ge=1)


def read_wandb_file(path: Path) -> WandbSweep:
    """Reads a sweep file; raises `ConfigError` for an unknown key and for what has no counterpart here."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"file '{path}' does not exist; expected a W&B sweep file.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"file '{path}' is no YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(given, dict):
        raise InputError(f"file '{path}' holds no keys; expected method, metric and parameters.")
    file = validated(_File, {key: value for key, value in given.items() if key not in _NOT_USED})
    fixed: list[str] = []
    space: list[str] = []
    for key, parameter in _flat(file.parameters):
        text = f"{key}={_text(key, parameter)}"
        differs = parameter.values is not None or parameter.min is not None
        (space if differs and len(parameter.values or "more") > 1 else fixed).append(text)
    if file.metric is not None:
        fixed.append(f"monitor.metric={file.metric.name}")
    settings: dict[str, Any] = {"sampler": _SAMPLERS[file.method], "pruning": _pruning(file.early_terminate)}
    if file.run_cap is not None:
        settings["num_trials"] = file.run_cap
    if file.metric is not None:
        settings["goal"] = "min" if file.metric.goal == "minimize" else "max"
    return WandbSweep(tuple(fixed), tuple(space), settings, tuple(key for key in _NOT_USED if key in given))


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, _Parameter]]:
    """Each parameter with its dotted key."""
    for name, value in parameters.items():
        key = f"{prefix}{name}"
        if not isinstance(value, Mapping):
            raise ConfigError(f"parameters.{key}: {value!r} given; expected value, values, or min and max.")
        parameter = validated(_Parameter, value, where=f"parameters.{key}")
        if parameter.parameters is not None:
            yield from _flat(parameter.parameters, f"{key}.")
        else:
            yield key, parameter


def _text(key: str, parameter: _Parameter) -> str:
    """What stands after `key=` in our grammar."""
    kind = parameter.distribution or _kind(parameter)
    if kind not in _DISTRIBUTIONS:
        raise UnknownName("distribution", kind, _DISTRIBUTIONS, of=f"parameters.{key}")
    if kind == "constant":
        return _literal(parameter.value)
    if kind == "categorical":
        if not parameter.values:
            raise ConfigError(f"parameters.{key}: no values given; expected a list of them.")
        return ",".join(map(_literal, parameter.values))
    if parameter.min is None or parameter.max is None:
        raise ConfigError(f"parameters.{key}: {kind} without min and max given; expected both.")
    return _range(key, kind, (parameter.min, parameter.max), parameter.q)


def _range(key: str, kind: str, ends: tuple[float, float], step: float | None) -> str:
    if kind == "q_log_uniform_values" and step not in (None, 1):
        raise ConfigError(f"parameters.{key}.q: {step!r} given; expected 1, the only step of a logarithmic range.")
    number = _NUMBERS.get(kind, float)
    options = ":log" if "log" in kind else f":step={step or 1!r}" if kind == "q_uniform" else ""
    return f"{number(ends[0])!r}..{number(ends[1])!r}{options}"


def _kind(parameter: _Parameter) -> str:
    """The distribution of a parameter that names none, by W&B's rules."""
    if parameter.values is not None:
        return "categorical"
    if parameter.min is None and parameter.max is None:
        return "constant"
    whole = isinstance(parameter.min, int) and isinstance(parameter.max, int)
    return "int_uniform" if whole else "uniform"


def _literal(value: Any) -> str:
    """A YAML value as Hydra writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(_literal, value))}]"
    if isinstance(value, str):
        # PyYAML reads 1e-3, which has no point, as a string; W&B means the number.
        return value if value.isidentifier() or _SCIENTIFIC.fullmatch(value) else "'" + value.replace("'", "\\'") + "'"
    return repr(value)


def _pruning(stopping: _Hyperband | None) -> Pruning:
    """W&B's hyperband is one schedule of rungs at which the best 1/eta go on: successive halving."""
    if stopping is None:
        return Pruning(name="none")
    if stopping.max_iter is not None:
        first = max(1, stopping.max_iter // stopping.eta**stopping.s)
    elif stopping.min_iter is not None:
        first = stopping.min_iter
    else:
        raise ConfigError("early_terminate: hyperband without min_iter and max_iter given; expected one of both.")
    return Pruning(name="asha", warmup_epochs=first, factor=stopping.eta)
