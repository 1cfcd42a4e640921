"""The stage that turns files into snapshots: `get`, `simulate`, `snapshot`, `show`, `verify`, `diff`, `guard`.

Every name is imported when it is first used, so that `import loopline.data` loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopline.data.audit import diff as diff
    from loopline.data.audit import show as show
    from loopline.data.audit import verify as verify
    from loopline.data.catalogue import get as get
    from loopline.data.confidential import guard as guard
    from loopline.data.options import Columns as Columns
    from loopline.data.options import Options as Options
    from loopline.data.simulation import write_plots as write_plots
    from loopline.data.writer import snapshot as snapshot

_EXPORTS = {
    "get": "loopline.data.catalogue:get",
    "snapshot": "loopline.data.writer:snapshot",
    "show": "loopline.data.audit:show",
    "verify": "loopline.data.audit:verify",
    "diff": "loopline.data.audit:diff",
    "guard": "loopline.data.confidential:guard",
    "write_plots": "loopline.data.simulation:write_plots",
    "Columns": "loopline.data.options:Columns",
    "Options": "loopline.data.options:Options",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'loopline.data' has no attribute '{name}'; it has: {', '.join(__all__)}")
    from loopline.core.tables import load

    return load(_EXPORTS[name])


def __dir__() -> list[str]:
    return sorted(__all__)
