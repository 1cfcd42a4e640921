"""What a tracker kept of a training, whichever tracker it was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# Steps in order, and the value at each.
Curve = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True)
class TrackedRun:
    """A run as its files tell it: where they lie, its name, and per metric the curve and the last value.

    `settings` are the plain values of its configuration, by dotted names. A store that keeps no steps has no curves.
    """

    source: str
    name: str
    curves: Mapping[str, Curve] = field(default_factory=dict)
    last: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)


def curves_of(points: Iterable[tuple[str, float, float]]) -> dict[str, Curve]:
    """Curves by name from a metric's name, a step and a value each, in any order."""
    by_name: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for name, step, value in points:
        by_name[name].append((step, value))
    return {
        name: ([step for step, _ in ordered], [value for _, value in ordered])
        for name, group in sorted(by_name.items())
        for ordered in [sorted(group)]
    }
