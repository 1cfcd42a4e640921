"""Overrides in Hydra's grammar become a checked configuration, and mistakes become sentences."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import loopline.training
from loopline.core.errors import ConfigError, LooplineError, UnknownName
from loopline.networks.resnet import ResnetConfig
from loopline.training.compose import CONF_FOLDER, as_yaml, compose
from loopline.training.config import TrainConfig, checked
from loopline.training.optimizers import SgdConfig


def test_overrides_reach_the_configuration() -> None:
    """A recipe, values of three sections and an alternative of a group all take effect."""
    config = compose(["recipe=fashion", "trainer.max_epochs=7", "model=resnet", "model.width=8", "optimizer=sgd"])
    assert config.trainer.max_epochs == 7
    assert config.model == ResnetConfig(width=8)
    assert isinstance(config.optimizer, SgdConfig)
    assert config.data.name == "fashion"


def test_experiment_overrides_its_recipe_and_the_command_line_both() -> None:
    """Later wins: recipe, experiment, command line."""
    config = compose(["experiment=fashion_wide", "trainer.max_epochs=2"])
    assert (config.data.name, config.model.model_dump()["width"], config.trainer.max_epochs) == ("fashion", 64, 2)


def _read(text: str) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(OmegaConf.create(text))
    assert isinstance(plain, dict)
    return plain


def _yaml_files() -> Iterator[str]:
    for path in sorted(CONF_FOLDER.rglob("*.yaml")):
        if path.parent != CONF_FOLDER:
            yield f"{path.parent.name}={path.stem}"


# Labelled pictures are the default; what goes with another input or task comes with a recipe.
_RECIPES = {
    "input=bands": ("recipe=bands",),
    "input=text": ("recipe=translation",),
    "input=values": ("recipe=values",),
    "task=translation": ("recipe=translation",),
}


@pytest.mark.parametrize("override", list(_yaml_files()))
def test_every_file_composes(override: str) -> None:
    """Every file of every group gives a configuration that is valid, and comes back from its own YAML."""
    config = compose([*_RECIPES.get(override, ()), override, "data.name=digits"])
    assert checked(_read(as_yaml(config))) == config


def test_files_are_short_and_hold_no_code() -> None:
    """None names an import path or reads the environment, and a recipe is a screenful."""
    for path in CONF_FOLDER.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert "_target_" not in text
        assert "oc.env" not in text
        assert len(text.splitlines()) <= 60


def test_files_and_models_agree_on_defaults() -> None:
    """A setting that a file writes out with the value of the model's default cannot drift away from it."""
    written = _read((CONF_FOLDER / "config.yaml").read_text(encoding="utf-8"))
    for section in ("finetune", "trainer", "checkpoint", "monitor"):
        model = TrainConfig.model_fields[section].annotation
        assert model is not None
        assert model.model_validate(written[section]) == TrainConfig.model_fields[section].default
        assert set(written[section]) == set(model.model_fields)


@pytest.mark.parametrize(
    ("overrides", "kind", "sentence"),
    [
        (
            ["recipe=fashio"],
            UnknownName,
            "Did you mean 'fashion'?",
        ),
        (["recip=fashion"], ConfigError, "unknown key 'recip'. Did you mean 'recipe'?"),
        (["trainer.max_epoch=3"], ConfigError, "unknown key 'trainer.max_epoch'. Did you mean 'trainer.max_epochs'?"),
        (["model=cn"], UnknownName, "Did you mean 'cnn'?"),
        (["recipe=fashion", "model.name=cn"], UnknownName, "network 'cn' does not exist"),
        (
            ["recipe=fashion", "+model.widht=1"],
            ConfigError,
            "unknown key 'model.widht'; known here: dropout, name, test_time_flips, width.",
        ),
        (["recipe=fashion", "+data.augment.flipp=1"], ConfigError, "Did you mean 'data.augment.flip'?"),
        (["recipe=fashion", "+extra.key=1"], ConfigError, "unknown key 'extra'; known here: checkpoint, data"),
        (
            ["recipe=fashion", "model.width=wide"],
            ConfigError,
            "model.width: 'wide' given; input should be a valid integer",
        ),
        (
            ["recipe=fashion", "trainer.max_epochs=0"],
            ConfigError,
            "trainer.max_epochs: 0 given; input should be greater",
        ),
        (["recipe=fashion", "trainer=3"], ConfigError, "trainer: 3 given"),
        (["recipe=fashion", "~model"], ConfigError, "key 'model' is missing."),
        (["recipe=fashion", "~model.name"], ConfigError, "key 'model.name' is missing; expected one of: cnn,"),
        (["recipe=fashion", "name=${nothing}"], ConfigError, "Interpolation key 'nothing' not found."),
        (["recipe=fashion", "name=a/b"], ConfigError, "name: 'a/b' given"),
        (["trainer.max_epochs"], ConfigError, "override 'trainer.max_epochs' given; expected key=value"),
        (["recipe=fashion,images"], ConfigError, "Ambiguous value for argument 'recipe=fashion,images'."),
        ([], ConfigError, "key 'data.name' has no value yet"),
    ],
)
def test_a_mistake_is_a_sentence_with_the_next_command(
    overrides: list[str], kind: type[LooplineError], sentence: str
) -> None:
    """Unknown keys, wrong values and wrong grammar say what was given and what to type; no exception of Hydra's."""
    with pytest.raises(kind) as caught:
        compose(overrides)
    assert sentence in caught.value.message
    assert caught.value.next_command is not None
    assert "\n" not in caught.value.message


def test_own_folder_brings_own_files(tmp_path: Path) -> None:
    """`experiment=mine` is found in the user's folder, whose name may hold a space and a quote."""
    folder = tmp_path / "it's mine"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 77\n", encoding="utf-8")
    assert compose(["recipe=fashion", "experiment=mine"], config_dir=folder).seed == 77
    with pytest.raises(UnknownName, match="experiment 'mine' does not exist"):
        compose(["recipe=fashion", "experiment=mine"])


def test_own_file_cannot_hide_behind_ours(tmp_path: Path) -> None:
    """A file of a name that Loopline has too would be ignored: refused instead."""
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "fashion.yaml").write_text("seed: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="rename it"):
        compose(["recipe=fashion"], config_dir=tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        compose(["recipe=fashion"], config_dir=tmp_path / "nowhere")


def test_hydra_keeps_no_state() -> None:
    """After composing, and after failing to, Hydra's global state is as it was."""
    compose(["recipe=fashion"])
    with pytest.raises(UnknownName):
        compose(["recipe=nothing"])
    assert not GlobalHydra.instance().is_initialized()


def test_hydra_is_imported_in_one_file() -> None:
    """Whoever replaces Hydra replaces one file."""
    room = Path(loopline.training.__file__).parent
    users = set()
    for path in room.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] in ("hydra", "omegaconf") for name in names):
                users.add(path.name)
    assert users == {"compose.py"}


def test_the_room_names_what_it_has() -> None:
    """A name that the room does not have is an AttributeError that lists those it has."""
    assert loopline.training.TrainConfig is TrainConfig
    with pytest.raises(AttributeError, match="it has: TrainConfig, train, verify_resume"):
        _ = loopline.training.nothing
