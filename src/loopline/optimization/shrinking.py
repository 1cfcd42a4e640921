"""Recipes `input-86` and `input-71`: the same weights look at a smaller picture.

Convolutions take pictures of any size, their work grows with the number of pixels, and a network that was trained on
crops has seen its objects larger than they are in whole pictures. Source: Touvron et al., Fixing the train-test
resolution discrepancy, NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loopline.core.errors import InputError, StateError
from loopline.core.records import TransformStep
from loopline.optimization.workbench import EXACT_TOLERANCE, Draft, OptimizeSettings, Workbench
from loopline.transforms import build_pipeline

# Sides stay multiples of it, as most strides of networks ask.
_MULTIPLE_PX = 4


def shrink_to_86(draft: Draft, bench: Workbench, _settings: OptimizeSettings) -> Draft:
    """Sides of six sevenths: about three quarters of the pixels; raises as `shrunk` does."""
    return shrunk(draft, bench, recipe="input-86", share=6 / 7)


def shrink_to_71(draft: Draft, bench: Workbench, _settings: OptimizeSettings) -> Draft:
    """Sides of five sevenths: about half of the pixels; raises as `shrunk` does."""
    return shrunk(draft, bench, recipe="input-71", share=5 / 7)


def shrunk(draft: Draft, bench: Workbench, *, recipe: str, share: float) -> Draft:
    """The draft for pictures of that share of the sides, exported again from the run's weights.

    Raises `StateError` where examples are not resized, the run is not here, or its network takes one size only.
    """
    steps = smaller_steps(draft.preprocess, share)
    if steps == tuple(draft.preprocess):
        raise StateError("no step of the preprocess resizes examples to a size that could be smaller.")
    pipeline = build_pipeline(steps)
    try:
        graph = bench.export(bench.network(), pipeline)
    except InputError as error:
        raise StateError(f"the network takes pictures of one size only: {error.message}") from error
    size = " × ".join(map(str, pipeline.input_shape))
    return Draft((*draft.recipes, recipe), graph, pipeline.steps, note=f"input {size}", tolerance=EXACT_TOLERANCE)


def smaller_steps(steps: Sequence[TransformStep], share: float) -> tuple[TransformStep, ...]:
    """The steps with every height and width times `share`, rounded to a multiple of 4 pixels."""

    def scaled(key: str, value: Any) -> Any:
        if key in ("height", "width"):
            return max(_MULTIPLE_PX, round(value * share / _MULTIPLE_PX) * _MULTIPLE_PX)
        if key == "shrink_to" and value is not None:
            return [scaled(name, side) for name, side in zip(("height", "width"), value, strict=True)]
        return value

    return tuple(
        step.model_copy(update={"params": {key: scaled(key, value) for key, value in step.params.items()}})
        for step in steps
    )
