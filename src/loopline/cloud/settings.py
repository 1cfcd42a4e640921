"""The settings of a project's cloud: `[tool.loopline.cloud]` of its `pyproject.toml`, changed for one command."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loopline.core.errors import ConfigError
from loopline.core.records import CloudSettings
from loopline.core.validation import validated

PLACE = "tool.loopline.cloud"


def read_settings(project: Path | None = None, changes: Sequence[str] = ()) -> CloudSettings:
    """The settings of the project in a folder (default: this one), with changes such as `service.memory_mib=2048`.

    A value is TOML where it can be read as TOML, else text. Raises `ConfigError` for keys and values that are wrong.
    """
    path = (project or Path()) / "pyproject.toml"
    found: dict[str, Any] = {}
    if path.is_file():
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"'{path}' is no TOML: {error}.") from None
        for key in PLACE.split("."):
            found = found.get(key, {})
    for change in changes:
        _set(found, change)
    return validated(CloudSettings, found, where=PLACE)


def _set(settings: dict[str, Any], change: str) -> None:
    name, separator, text = change.partition("=")
    if not separator or not name:
        raise ConfigError(f"'{change}' given; expected KEY=VALUE, as in service.memory_mib=2048.")
    *groups, last = name.split(".")
    for group in groups:
        settings = settings.setdefault(group, {})
        if not isinstance(settings, dict):
            raise ConfigError(f"'{change}' given; '{group}' is a value, not a group.")
    try:
        settings[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        settings[last] = text
