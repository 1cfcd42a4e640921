"""The recipes food and animals around the loop, on drawn pictures that the test makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

import loopline.data
from loopline.core.workspace import Workspace

_SIZE_PX = 48


def drawn(shape: str, seed: int) -> Image.Image:
    """A disc, a bar or a cross of some colour somewhere on a noisy ground."""
    generator = np.random.default_rng(seed)
    ground = generator.integers(0, 90, size=(_SIZE_PX, _SIZE_PX + seed % 9, 3), dtype=np.uint8)
    image = Image.fromarray(ground)
    draw = ImageDraw.Draw(image)
    x, y, r = (int(value) for value in (*generator.integers(16, 32, size=2), generator.integers(8, 14)))
    colour = tuple(int(value) for value in generator.integers(150, 256, size=3))
    if shape == "disc":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    else:
        draw.rectangle((x - 3, y - r, x + 3, y + r), fill=colour)
        if shape == "cross":
            draw.rectangle((x - r, y - 3, x + r, y + 3), fill=colour)
    return image


@pytest.fixture
def shapes(workspace: Workspace, tmp_path: Path) -> None:
    """A snapshot of 210 JPEG files, of which one class has but a third of what the others have."""
    for shape, number in (("disc", 90), ("bar", 90), ("cross", 30)):
        folder = tmp_path / "shapes" / shape
        folder.mkdir(parents=True)
        for index in range(number):
            drawn(shape, seed=1000 * len(shape) + index).save(folder / f"{index:03d}.jpg", quality=92)
    # Enough to ask about each once: the same ones twice would look like drift.
    loopline.data.snapshot(
        tmp_path / "shapes", name="shapes", options=loopline.data.Options(test_share=0.25), workspace=workspace
    )


def check_answers(walked: Any) -> None:
    """Over HTTP as in process, and as good as the checkpoint."""
    for answer, own in zip(walked.served, walked.own, strict=True):
        assert answer["label"] == own.predicted
        assert list(answer["probabilities"].values()) == sorted(map(float, own.outputs), reverse=True)
    accuracy = [each.metrics["accuracy"].value for each in (walked.evaluation, walked.judged_bundle)]
    assert accuracy[0] == accuracy[1] > 0.6
    assert not walked.drift.drifted


@pytest.mark.usefixtures("shapes")
def test_food_goes_around_the_loop(walk: Any) -> None:
    """A network of timm with its own input size and statistics, frozen at first, averaged, with cut and mixed crops."""
    walked = walk(
        "shapes",
        [
            "recipe=food",
            "model.architecture=test_efficientnet",
            "model.weights=none",
            "input.height=48",
            "input.width=48",
            "data.augment.crop_px=32",
            "data.augment.mixup=0.1",
            "data.batch_size=16",
            "finetune.freeze_epochs=1",
            "finetune.frozen_statistics=false",
            "optimizer.lr=0.01",
            "optimizer.layer_decay=0.9",
            "trainer.max_epochs=12",
            "trainer.ema_decay=0.9",
        ],
    )
    check_answers(walked)
    normalize = next(step for step in walked.bundle.preprocess if step.name == "normalize")
    # Those that the architecture's record at timm names.
    assert normalize.params["mean"] == pytest.approx([0.485, 0.456, 0.406])


@pytest.mark.usefixtures("shapes")
@pytest.mark.parametrize("network", ["cnn", "resnet"])
def test_animals_goes_around_the_loop(walk: Any, network: str) -> None:
    """A network from scratch, with the rare class weighted."""
    walked = walk(
        "shapes",
        [
            "recipe=animals",
            f"model={network}",
            "model.width=8",
            "input.height=32",
            "input.width=32",
            "data.batch_size=16",
            "task.class_weights=balanced",
            "trainer.max_epochs=10",
        ],
    )
    check_answers(walked)
    assert [row.label for row in walked.evaluation.per_class] == ["bar", "cross", "disc"]
