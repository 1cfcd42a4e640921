"""From a bundle to a faster one: recipes are tried, measured side by side, and the fastest that loses little is kept.

Every name is imported when it is first used: recipes that learn need torch, those that rewrite a graph do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopline.optimization.page import write_optimization as write_optimization
    from loopline.optimization.trying import RECIPES as RECIPES
    from loopline.optimization.trying import optimize as optimize
    from loopline.optimization.workbench import Draft as Draft
    from loopline.optimization.workbench import OptimizeSettings as OptimizeSettings
    from loopline.optimization.workbench import Result as Result
    from loopline.optimization.workbench import Workbench as Workbench

_EXPORTS = {
    "RECIPES": "loopline.optimization.trying:RECIPES",
    "Draft": "loopline.optimization.workbench:Draft",
    "OptimizeSettings": "loopline.optimization.workbench:OptimizeSettings",
    "Result": "loopline.optimization.workbench:Result",
    "Workbench": "loopline.optimization.workbench:Workbench",
    "optimize": "loopline.optimization.trying:optimize",
    "write_optimization": "loopline.optimization.page:write_optimization",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'loopline.optimization' has no attribute '{name}'; it has: {', '.join(__all__)}")
    from loopline.core.tables import load

    return load(_EXPORTS[name])
