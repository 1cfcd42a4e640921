"""Pictures are prepared as the pretrained weights know them, where nobody says otherwise."""

from __future__ import annotations

import pytest

from loopline.core.errors import ConfigError
from loopline.core.workspace import Workspace
from loopline.snapshots import open_snapshot
from loopline.training.compose import compose

FOOD = ("recipe=food", "data.name=digits")
# Of `tf_efficientnet_lite0`, at timm.
_HALF = (0.5, 0.5, 0.5)


def test_what_is_open_comes_from_the_weights() -> None:
    """Size, filter and statistics; what is given stays."""
    chosen = compose(FOOD).input.model_dump()
    assert (chosen["height"], chosen["width"], chosen["resampling"], chosen["crop"]) == (224, 224, "bicubic", 1.0)
    assert (chosen["mean"], chosen["std"]) == (_HALF, _HALF)
    given = compose((*FOOD, "input.height=96", "input.mean=[0.4,0.4,0.4]", "input.crop=null")).input.model_dump()
    assert (given["height"], given["width"], given["crop"]) == (96, 224, 0.875)
    assert (given["mean"], given["std"]) == ((0.4, 0.4, 0.4), _HALF)


def test_another_architecture_brings_its_own() -> None:
    """Named with its tag, as timm does."""
    chosen = compose((*FOOD, "model.architecture=test_vit.r160_in1k", "model.weights=hub")).input.model_dump()
    assert (chosen["height"], chosen["mean"]) == (160, (0.5, 0.5, 0.5))


def test_without_weights_nothing_may_stay_open() -> None:
    """One sentence names the key."""
    with pytest.raises(ConfigError, match=r"key 'input\.height' has no value, and network 'cnn' has no record"):
        compose(("data.name=digits", "input.height=null"))


def test_a_crop_is_a_step(digits: Workspace) -> None:
    """Resized to the size over the share, then cut, as timm evaluates."""
    config = compose((*FOOD, "input.crop=0.875", "input.fit=cover"))
    steps = config.input.steps(open_snapshot("digits", digits).manifest)
    assert [step.name for step in steps] == ["decode_image", "resize", "center_crop", "normalize"]
    assert (steps[1].params["height"], steps[1].params["fit"], steps[2].params["height"]) == (256, "cover", 224)


def test_quick_decoding_stands_in_the_steps(digits: Workspace) -> None:
    """So that the bundle carries it; pictures are divided down to what the resize wants, and no further."""
    manifest = open_snapshot("digits", digits).manifest
    quick = compose((*FOOD, "input.crop=0.875", "input.decoding=fast")).input.steps(manifest)
    usual = compose((*FOOD, "input.crop=0.875")).input.steps(manifest)
    assert quick[0].params["shrink_to"] == [256, 256]
    assert quick[1].params == {**usual[1].params, "kernel": "simd"}
    assert quick[2:] == usual[2:]
