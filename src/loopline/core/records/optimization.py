"""`Optimization`: which ways to make a bundle faster were tried, what each cost and gained, and which one was taken."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from loopline.core.records.evaluation import PairedComparison
from loopline.core.records.record import Digest, Name, Record, Time
from loopline.core.records.run import DatasetRef


class Speed(Record):
    """How fast raw bytes become answers on one machine, decoding included, one example at a time.

    Rates are examples per second of all threads together. `speedup` is the rate over that of the parent in the same
    round; the middle, the lowest and the highest of all rounds are kept.
    """

    latency_ms: float = Field(gt=0)
    # Of the graph alone, on one decoded example; None where a bundle has no single graph.
    graph_ms: float | None = Field(default=None, gt=0)
    rate_per_s: float = Field(gt=0)
    rate_low: float = Field(gt=0)
    rate_high: float = Field(gt=0)
    speedup: float = Field(gt=0)
    speedup_low: float = Field(gt=0)
    speedup_high: float = Field(gt=0)


class Candidate(Record):
    """One way to make the bundle faster: measured, or why it was not."""

    # Recipes in the order in which they were applied, joined by `-then-`.
    recipe: Name
    status: Literal["measured", "skipped", "failed"]
    # What was done, as the layers that stayed in float32; or why nothing was.
    note: str = ""
    # False for what runs here but cannot travel in a bundle, as compiled code.
    fits_bundle: bool = True
    engine: Name | None = None
    # Of the graphs, on disk.
    num_bytes: int | None = Field(default=None, ge=0)
    # Accuracy, mean absolute error or mean chrF of the sentences, whichever the comparison is by.
    score: float | None = None
    comparison: PairedComparison | None = None
    speed: Speed | None = None
    # The drop, not its interval, is within the allowed one.
    is_allowed: bool = False
    # No other candidate loses less and is faster.
    is_pareto: bool = False
    # What making it took.
    prepare_s: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        figures = (self.num_bytes, self.score, self.comparison, self.speed)
        if self.status == "measured" and None in figures:
            raise ValueError("a measured candidate has a size, a score, a comparison and a speed")
        if self.status != "measured" and (self.is_allowed or self.is_pareto):
            raise ValueError("only a measured candidate can be allowed or stand out")
        return self

    @property
    def drop(self) -> float:
        """What it loses against the parent, in the units of `Optimization.max_drop`; below 0 where it gains."""
        if self.comparison is None:
            raise ValueError(f"candidate '{self.recipe}' was {self.status}: it has no drop")
        return -self.comparison.in_points(self.comparison.difference)


class Derivation(Record):
    """How a bundle came of its parent, and what that cost on the whole of a split."""

    recipe: Name
    split: Name
    # Against the parent, on the same examples.
    comparison: PairedComparison
    # What was allowed, in points of the comparison's unit.
    max_drop: float = Field(ge=0)
    speedup: float = Field(gt=0)
    machine: str


class Optimization(Record):
    """`optimization.json`; `max_drop` is in points of accuracy or chrF, or in per cent of the mean absolute error."""

    schema_version: Literal[1] = 1
    name: Name
    parent: Digest
    dataset: DatasetRef
    split: Name
    num_examples: int = Field(ge=1)
    max_drop: float = Field(ge=0)
    # The first is the parent as it is.
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    # The recipe that was taken and the digest of its bundle; None where the gate let none through.
    chosen: Name | None = None
    bundle: Digest | None = None
    machine: str
    num_threads: int = Field(ge=1)
    created_at: Time

    @model_validator(mode="after")
    def _choice_is_allowed(self) -> Self:
        allowed = {candidate.recipe for candidate in self.candidates if candidate.is_allowed and candidate.fits_bundle}
        if self.chosen is not None and self.chosen not in allowed:
            raise ValueError(f"'{self.chosen}' was chosen; allowed were {', '.join(sorted(allowed)) or 'none'}")
        if (self.chosen is None) != (self.bundle is None):
            raise ValueError("what was chosen has a bundle, and nothing else has")
        return self
