"""Serving: an open bundle behind HTTP, with batching, limits, metrics, and a row in the log for every answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopline.serving.app import build_app
    from loopline.serving.server import serve
    from loopline.serving.settings import ServeSettings

__all__ = ["ServeSettings", "build_app", "serve"]

# Imported on use: the command line needs the settings, but not the web framework.
_EXPORTS = {
    "ServeSettings": "loopline.serving.settings:ServeSettings",
    "build_app": "loopline.serving.app:build_app",
    "serve": "loopline.serving.server:serve",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'loopline.serving' has no attribute '{name}'; it has: {', '.join(__all__)}")
    from loopline.core.tables import load

    return load(_EXPORTS[name])
