"""The grammar of a space: Hydra's own sweeps, and `low..high` for ranges.

    model.width=16,32,64                         choice(16,32,64)
    optimizer.lr=1e-4..1e-1:log                  tag(log,interval(1e-4,1e-1))
    model.depth=1..4                             whole numbers, as both ends are; int(interval(1,4))
    model.width=16..128:step=16                  range(16,129,16)
    model=cnn,resnet                             a group's files

A key and its text are an override, so a point of the space is a list of overrides.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException
from pydantic import ValidationError

from loopline.core.errors import ConfigError
from loopline.core.records import Choice, Dimension, FloatRange, IntRange

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER})(?P<options>(?::[^:]*)*)")
_WHOLE = re.compile(r"[+-]?\d+")
_EXPECTED = "expected a space, as in optimizer.lr=1e-4..1e-1:log, model.width=16,32,64 or model.depth=1..4"


def split_overrides(
    overrides: Sequence[str], space: Sequence[str] = ()
) -> tuple[tuple[str, ...], dict[str, Dimension]]:
    """What is the same in all trials, and what differs; `space` holds assignments that must differ.

    Raises `ConfigError` for a range or choice that is none, and for a key that is given twice.
    """
    fixed: list[str] = []
    dimensions: dict[str, Dimension] = {}
    for assignment, must_differ in [*((one, False) for one in overrides), *((one, True) for one in space)]:
        found = _parse(assignment)
        if found is None and must_differ:
            raise ConfigError(f"space '{assignment}' given; {_EXPECTED}.")
        if found is None:
            fixed.append(assignment)
            continue
        key, dimension = found
        if key in dimensions:
            raise ConfigError(f"key '{key}' is in the space twice; expected it once.")
        dimensions[key] = dimension
    for key in (one.partition("=")[0] for one in fixed):
        if key in dimensions:
            raise ConfigError(f"key '{key}' is in the space and has a fixed value; expected one of both.")
    # In one order, however they are kept: the points of a grid are numbered in it.
    return tuple(fixed), dict(sorted(dimensions.items()))


def text_of(value: float | str) -> str:
    """A value of a dimension as the text after `key=`; numbers keep every digit."""
    return value if isinstance(value, str) else repr(value)


def points_to_check(space: Mapping[str, Dimension]) -> Iterator[dict[str, str]]:
    """Points that show every choice and both ends of every range, changing one key at a time."""
    shown = {
        key: dimension.values if isinstance(dimension, Choice) else (text_of(dimension.low), text_of(dimension.high))
        for key, dimension in space.items()
    }
    first = {key: values[0] for key, values in shown.items()}
    yield first
    yield from ({**first, key: value} for key, values in shown.items() for value in values[1:])


def grid(space: Mapping[str, Dimension]) -> Iterator[dict[str, float | str]]:
    """All points of a space, the last key changing fastest; raises `ConfigError` for a range without steps."""
    axes = [_grid_axis(key, dimension) for key, dimension in space.items()]
    return (dict(zip(space, values, strict=True)) for values in itertools.product(*axes))


def grid_size(space: Mapping[str, Dimension]) -> int:
    """How many points the grid has."""
    return math.prod(len(_grid_axis(key, dimension)) for key, dimension in space.items())


def describe(dimension: Dimension) -> str:
    """A dimension in words."""
    if isinstance(dimension, Choice):
        return ", ".join(dimension.values)
    step = f", in steps of {dimension.step:g}" if dimension.step else ""
    kind = "whole numbers " if isinstance(dimension, IntRange) else ""
    return f"{kind}{dimension.low:g} to {dimension.high:g}{', logarithmic' if dimension.log else ''}{step}"


def float_range(low: float, high: float, *, log: bool = False, step: float | None = None) -> FloatRange:
    """A range whose high end lies on a step; raises `ValueError` for one that is none."""
    if step is not None and step > 0:
        # In decimals: 0.3 is three steps of 0.1, which it is not in binary.
        num_steps = (Decimal(repr(high)) - Decimal(repr(low))) // Decimal(repr(step))
        high = float(Decimal(repr(low)) + num_steps * Decimal(repr(step))) if num_steps > 0 else high
    return FloatRange(low=low, high=high, log=log, step=step)


def int_range(low: int, high: int, *, log: bool = False, step: int | None = None) -> IntRange:
    """A range whose high end lies on a step; raises `ValueError` for one that is none."""
    if step is not None and 0 < step <= high - low:
        high = low + (high - low) // step * step
    return IntRange(low=low, high=high, log=log, step=step)


def checked_dimension(where: str, build: Callable[[], Dimension]) -> Dimension:
    """What `build` builds; what it refuses is a `ConfigError` that says `where`."""
    try:
        return build()
    except ValidationError as error:
        item = error.errors()[0]
        reason = item.get("ctx", {}).get("error") or f"{item['msg'][0].lower()}{item['msg'][1:]}"
        raise ConfigError(f"space '{where}' given; {reason}.") from None


def _parse(assignment: str) -> tuple[str, Dimension] | None:
    """The key and its dimension, or None where the assignment gives one value."""
    key, _, text = assignment.partition("=")
    if match := _RANGE.fullmatch(text.strip()):
        return key, checked_dimension(assignment, lambda: _short_range(assignment, match))
    try:
        override = OverridesParser.create().parse_override(assignment)
    except HydraException:
        # Said by whoever composes it, unless it was to be a space.
        return None
    if not override.is_sweep_override():
        return None
    return override.get_key_element(), checked_dimension(assignment, lambda: _from_hydra(assignment, override))


def _short_range(assignment: str, match: re.Match[str]) -> Dimension:
    log, step = False, None
    for option in match["options"].split(":")[1:]:
        name, _, value = option.partition("=")
        if name == "log" and not value:
            log = True
        elif name == "step" and re.fullmatch(_NUMBER, value):
            step = value
        else:
            raise ConfigError(f"space '{assignment}': option '{option}' given; expected log or step=NUMBER.")
    ends = (match["low"], match["high"])
    if all(_WHOLE.fullmatch(text) for text in (*ends, step or "1")):
        return int_range(int(ends[0]), int(ends[1]), log=log, step=None if step is None else int(step))
    return float_range(float(ends[0]), float(ends[1]), log=log, step=None if step is None else float(step))


def _from_hydra(assignment: str, override: Override) -> Dimension:
    value: Any = override.value()
    tags: set[str] = getattr(value, "tags", set())
    if tags - {"log"} or (tags and not isinstance(value, IntervalSweep)):
        raise ConfigError(
            f"space '{assignment}': tag {', '.join(sorted(tags))} given; expected only log, of an interval."
        )
    if getattr(value, "shuffle", False):
        raise ConfigError(f"space '{assignment}': shuffle(…) given; the sampler chooses the order.")
    if isinstance(value, ChoiceSweep):
        return Choice(values=tuple(override.sweep_string_iterator()))
    if isinstance(value, IntervalSweep):
        return _interval(value.start, value.end, log="log" in tags)
    if isinstance(value, RangeSweep):
        return _range(assignment, value)
    raise ConfigError(f"space '{assignment}' given; expected the names themselves, as in model=cnn,resnet.")


def _interval(low: Any, high: Any, *, log: bool) -> Dimension:
    # `int(interval(1,5))` casts the ends.
    if isinstance(low, int) and isinstance(high, int):
        return int_range(low, high, log=log)
    return float_range(float(low), float(high), log=log)


def _range(assignment: str, value: RangeSweep) -> Dimension:
    """Hydra's range, which ends before its stop."""
    start, stop, step = (Decimal(str(part)) for part in (value.start, value.stop, value.step))
    if step <= 0:
        raise ConfigError(f"space '{assignment}': step {step} given; expected one above 0.")
    last = start + (math.ceil((stop - start) / step) - 1) * step
    if all(isinstance(part, int) for part in (value.start, value.stop, value.step)):
        return int_range(int(start), int(last), step=int(step))
    return float_range(float(start), float(last), step=float(step))


def _grid_axis(key: str, dimension: Dimension) -> Sequence[float | str]:
    if isinstance(dimension, Choice):
        return dimension.values
    if isinstance(dimension, IntRange) and not dimension.log:
        return range(dimension.low, dimension.high + 1, dimension.step or 1)
    if dimension.step is None:
        raise ConfigError(
            f"key '{key}': {describe(dimension)}, in a grid; expected values (0.001,0.01,0.1) or steps "
            "(0.1..0.5:step=0.1)."
        )
    low, step = Decimal(repr(dimension.low)), Decimal(repr(dimension.step))
    num_values = round((dimension.high - dimension.low) / dimension.step) + 1
    return [float(low + index * step) for index in range(num_values)]
