"""A project that runs Loopline's commands has what they bring, where something runs them."""

from __future__ import annotations

import pytest

from loopline.audit.brought import brought
from loopline.audit.checklist import ITEMS
from loopline.repository import read_texts

MAKEFILE = """PYTHON ?= python3
train:
\t$(PYTHON) -m loopline train --config-dir conf recipe=own data.num_workers=2
two:
\tloopline train trainer.devices=2 tracking=wandb
serve:
\t@.venv/bin/loopline serve pets@champion --ui
drift:
\tloopline drift pets@champion
image:
\tloopline image serve pets@champion
"""
WORKFLOW = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: make image\n"
BROUGHT = (
    "hydra", "config_files", "lightning", "model_train", "dist_data", "dist_train", "wandb", "fastapi", "frontend",
    "metrics", "io_collection", "torchserve", "onnx_bentoml", "drift", "mon_perf",
)  # fmt: skip


@pytest.mark.parametrize("item", BROUGHT)
def test_a_command_brings_what_it_does(item: str) -> None:
    """With the place where it stands."""
    judgement = brought(read_texts({"Makefile": MAKEFILE}), item)
    assert judgement is not None
    assert judgement.verdict == "done"
    assert judgement.evidence[0].path == "Makefile"
    assert item in {rule.id for rule in ITEMS}


@pytest.mark.parametrize("item", ["sweep", "optuna", "alerts", "docker_trigger"])
def test_what_nothing_runs_is_not_brought(item: str) -> None:
    """A command that no target has, one that only a person runs, and what Loopline does not do."""
    assert brought(read_texts({"Makefile": MAKEFILE}), item) is None


def test_an_image_counts_where_a_workflow_builds_it() -> None:
    files = {"Makefile": MAKEFILE, ".github/workflows/image.yml": WORKFLOW}
    assert brought(read_texts(files), "docker_trigger") is not None
