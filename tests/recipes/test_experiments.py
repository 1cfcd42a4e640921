"""Every experiment takes a step, on the smallest data of its kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import loopline.data
from loopline import loop
from loopline.core.workspace import Workspace
from loopline.data import Columns, Options
from loopline.data.simulation.plots import write_plots
from loopline.training.compose import CONF_FOLDER

# What comes from the hub is made here: weights drawn at random, a tokenizer trained on the pairs. The largest network
# has a small sister, and its 16 bits are for GPUs: processors without them take a minute for a step.
_INSTEAD = {
    "convnext": ("model.architecture=convnext_atto", "model.weights=none", "trainer.precision=32-true"),
    "t5_small": ("model.weights=null", "input.tokenizer=null", "input.num_pieces=60"),
}
EXPERIMENTS = sorted(path.stem for path in (CONF_FOLDER / "experiment").glob("*.yaml"))


def make_pictures(workspace: Workspace, folder: Path) -> None:
    """Twelve pictures of two colours."""
    random = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (folder / name).mkdir(parents=True)
        for index in range(6):
            pixels_HWC = random.integers(level - 40, level + 40, (48, 48, 3)).astype("uint8")
            Image.fromarray(pixels_HWC).save(folder / name / f"{index}.png")
    loopline.data.snapshot(
        folder, name="tiny", options=Options(validation_share=0.3, test_share=0), workspace=workspace
    )


def make_plots(workspace: Workspace, folder: Path) -> None:
    """Eight plots in four fields."""
    write_plots(folder, 8, num_fields=4, seed=1)
    options = Options(validation_share=0.3, test_share=0, group_pattern="field_[0-9]+")
    loopline.data.snapshot(f"plots:{folder}", name="tiny", task="regression", options=options, workspace=workspace)


def make_pairs(workspace: Workspace, folder: Path) -> None:
    """Sixty pairs of sentences of three words."""
    folder.mkdir()
    random = np.random.default_rng(0)
    words = np.array(["red", "old", "dog", "cat", "sees", "likes", "tree", "ball"])
    for split, num_pairs in (("train", 50), ("val", 10)):
        rows = random.integers(0, len(words), (num_pairs, 3))
        (folder / f"{split}.en").write_text("".join(f"{' '.join(words[row])}.\n" for row in rows), encoding="utf-8")
        (folder / f"{split}.de").write_text("".join(f"{'o '.join(words[row])}o.\n" for row in rows), encoding="utf-8")
    options = Options(columns=Columns(input="en", target="de"))
    loopline.data.snapshot(f"parallel:{folder}", name="tiny", task="translation", options=options, workspace=workspace)


MAKERS = {"nitrogen": make_plots, "t5": make_pairs}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_it_runs(experiment: str, workspace: Workspace, tmp_path: Path) -> None:
    """From composition to a run that is completed, after an epoch of a batch or two."""
    make = MAKERS.get(experiment.split("_", maxsplit=1)[0], make_pictures)
    make(workspace, tmp_path / "raw")
    run = loop.train(
        [
            f"experiment={experiment}",
            "data.name=tiny",
            "data.max_examples=8",
            f"data.batch_size={64 if make is make_pairs else 4}",
            "trainer.max_epochs=1",
            "trainer.accelerator=cpu",
            "trainer.accumulate_grad_batches=1",
            "tracking=none",
            *_INSTEAD.get(experiment, ()),
        ],
        workspace=workspace,
    )
    assert run.status == "completed"
    assert run.num_steps >= 1
