"""Hydra, in one file: overrides in its grammar become a plain dictionary, and that a checked `TrainConfig`.

Hydra only composes. Nothing is instantiated from a configuration, and what Hydra or OmegaConf refuses is said in our
words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from loopline.core.errors import ConfigError, InputError, UnknownName, closest
from loopline.runs import flat
from loopline.training.config import TrainConfig, checked

CONF_FOLDER = Path(__file__).parent / "conf"
GROUPS = ("recipe", "experiment", "task", "input", "model", "optimizer", "scheduler", "tracking")
_DRY_RUN = "loopline train --dry-run"


def compose(overrides: Sequence[str] = (), *, config_dir: Path | None = None) -> TrainConfig:
    """The configuration that overrides such as `recipe=fashion` and `model.width=32` make.

    `config_dir` is a folder of the user's own groups (`experiment/mine.yaml`), searched beside ours. Raises
    `ConfigError` for an unknown key, a wrong value or a wrong override, `UnknownName` for a file that no group has.
    """
    plain = _plain(_composed(overrides, config_dir))
    try:
        return checked(plain)
    except InputError as error:
        error.next_command = error.next_command or _DRY_RUN
        raise


def as_yaml(config: TrainConfig) -> str:
    """The configuration as YAML, as `--dry-run` prints it and a run keeps it; it composes to itself."""
    return OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json")))


def _composed(overrides: Sequence[str], config_dir: Path | None) -> DictConfig:
    searched = [] if config_dir is None else [_searched(config_dir)]
    try:
        # Hydra keeps one global state; whoever called us from within Hydra gets theirs back.
        with hydra.initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
            return hydra.compose("config", overrides=[*overrides, *searched])
    except OverrideParseException as error:
        raise ConfigError(
            f"override '{error.override}' given; expected key=value, as in trainer.max_epochs=3.", next_command=_DRY_RUN
        ) from error
    except MissingConfigException as error:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        raise UnknownName(group or "group", name, error.options or (), next_command=_DRY_RUN) from error
    except HydraException as error:
        raise _refused(str(error), config_dir) from error
    except (OmegaConfBaseException, KeyError, TypeError) as error:
        # Hydra itself stumbles over some, as over `trainer=3` and `~model`.
        raise ConfigError(
            f"overrides {' '.join(overrides)} do not fit together: {_first_line(error)}.", next_command=_DRY_RUN
        ) from error


def _searched(folder: Path) -> str:
    """The override that lets Hydra search a user's folder too; no file of it may hide behind one of ours."""
    if not folder.is_dir():
        raise ConfigError(f"config folder '{folder}' does not exist; expected one with groups such as experiment/.")
    hidden = [path for path in sorted(folder.rglob("*.yaml")) if (CONF_FOLDER / path.relative_to(folder)).exists()]
    if hidden:
        raise ConfigError(f"'{hidden[0]}' has the name of a file of Loopline's, which would win; rename it.")
    quoted = folder.resolve().as_posix().replace("'", "\\'")
    return f"hydra.searchpath=['file://{quoted}']"


def _refused(message: str, config_dir: Path | None) -> ConfigError:
    found = re.match(r"Could not override '([^'@]+)", message)
    if found is None:
        return ConfigError(f"{message.splitlines()[0]}.", next_command=_DRY_RUN)
    key = found[1]
    # What there is to override, in a run that composes.
    known = [*GROUPS, *flat(_unresolved(_composed((), config_dir)))]
    guess = closest(key, known)
    hint = f" Did you mean '{guess}'?" if guess else ""
    return ConfigError(f"unknown key '{key}'.{hint}", next_command=_DRY_RUN)


def _unresolved(config: DictConfig) -> dict[str, Any]:
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]  # of a dictionary
    return plain


def _plain(config: DictConfig) -> dict[str, Any]:
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]  # as above
    except OmegaConfBaseException as error:
        raise ConfigError(f"{_first_line(error)}.", next_command=_DRY_RUN) from error
    if missing:
        raise ConfigError(
            f"key '{missing[0]}' has no value yet; give it one, or choose a recipe.",
            next_command=f"loopline train {missing[0]}=VALUE",
        )
    return plain


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
