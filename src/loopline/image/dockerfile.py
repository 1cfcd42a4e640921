"""The two Dockerfiles, as files beside this module, and the few places where one project's differs from another's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

Kind = Literal["train", "serve"]
Accelerator = Literal["cpu", "cuda"]

_FOLDER = Path(__file__).parent / "dockerfiles"
_BASE = "{base}"
# Folders of a project that an image takes along where they exist, each with the line that does it.
_OPTIONAL = {"src": "COPY src /srv/src\n", "conf": "COPY conf /srv/conf\n"}
_CONF_ARGUMENTS = ', "--config-dir", "/srv/conf"'


def dockerfile(
    kind: Kind, *, accelerator: Accelerator = "cpu", has_code: bool = True, has_settings: bool = True
) -> str:
    """The Dockerfile of an image, on a base with or without CUDA's libraries.

    `has_code` and `has_settings` say whether the project has a folder `src` and a folder `conf` to take along.
    """
    text = _read(kind).replace(_BASE, _read(accelerator))
    if not has_code:
        text = text.replace(_OPTIONAL["src"], "")
    if not has_settings:
        text = text.replace(_OPTIONAL["conf"], "").replace(_CONF_ARGUMENTS, "")
    return text


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.Dockerfile").read_text(encoding="utf-8")


def image_variables(kind: Kind) -> dict[str, str]:
    """The variables by which an image sets Loopline and Python up, as its Dockerfile declares them."""
    return dict(re.findall(r"^(?:ENV)?\s+((?:LOOPLINE|PYTHON)_?\w+)=([^\s$]+)(?: \\)?$", _read(kind), re.MULTILINE))
