"""Loopline takes a PyTorch model around the whole MLOps loop.

Every name here is imported when it is first used, so that `import loopline` loads nothing but this file.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

# The public names: a stage's function.
_EXPORTS = {
    "Workspace": "loopline.core.workspace:Workspace",
    "LooplineError": "loopline.core.errors:LooplineError",
    "train": "loopline.loop:train",
    "verify_resume": "loopline.loop:verify_resume",
    "sweep": "loopline.loop:sweep",
    "runs": "loopline.loop:runs",
    "evaluate": "loopline.loop:evaluate",
    "export": "loopline.loop:export",
    "optimize": "loopline.delivery:optimize",
    "register": "loopline.loop:register",
    "promote": "loopline.loop:promote",
    "rollback": "loopline.loop:rollback",
    "models": "loopline.loop:models",
    "load": "loopline.loop:load",
    "predict": "loopline.loop:predict",
    "serve": "loopline.loop:serve",
    "drift": "loopline.loop:drift",
    "audit": "loopline.audit.project:audit_project",
    "doctor": "loopline.doctor:doctor",
    "demo": "loopline.demo:demo",
}

# Rooms whose functions are called by their names: `loopline.data.get`, `loopline.reporting.check`.
_ROOMS = ("data", "reporting")

__all__ = ["__version__", *_ROOMS, *_EXPORTS]  # noqa: PLE0604 - the keys are strings


class _FrontDoor(ModuleType):
    """Keeps `loopline.export` the function: importing the room of that name would put the room in its place."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _EXPORTS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"loopline.{name}")
    if name not in _EXPORTS:
        raise AttributeError(f"module 'loopline' has no attribute '{name}'; it has: {', '.join(sorted(__all__))}")
    from loopline.core.tables import load

    return load(_EXPORTS[name])


def __dir__() -> list[str]:
    return sorted(__all__)
