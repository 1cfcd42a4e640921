"""Recipe `fast-decode`: what stands before the network costs as much as a small network does."""

from __future__ import annotations

from loopline.core.errors import StateError
from loopline.optimization.workbench import Draft, OptimizeSettings, Workbench
from loopline.transforms import build_pipeline, faster_steps


def decode_faster(draft: Draft, _bench: Workbench, _settings: OptimizeSettings) -> Draft:
    """JPEG files are decoded only as large as they are needed, and resized with vector instructions.

    Both are parameters of the preprocess, so they hold wherever the bundle answers. Raises `StateError` where examples
    are no pictures that are resized, or are decoded so already, and `MissingExtra` without the library that resizes.
    """
    steps = faster_steps(draft.preprocess)
    if steps == tuple(draft.preprocess):
        raise StateError("no step of the preprocess decodes pictures to a size that it could decode straight to.")
    recipes = (*draft.recipes, "fast-decode")
    return Draft(recipes, draft.graph, build_pipeline(steps).steps, note="decoded to scale, resized by vectors")
