"""From a trained network to a bundle, with the proof that the two agree.

Every name is imported when it is first used: the exporter needs torch, whoever assembles or verifies a bundle does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopline.export.assemble import BundleFacts as BundleFacts
    from loopline.export.assemble import BundleParts as BundleParts
    from loopline.export.assemble import assemble_bundle as assemble_bundle
    from loopline.export.checkpoint import export_bundle as export_bundle
    from loopline.export.verify import verify_bundle as verify_bundle

_EXPORTS = {
    "BundleFacts": "loopline.export.assemble:BundleFacts",
    "BundleParts": "loopline.export.assemble:BundleParts",
    "assemble_bundle": "loopline.export.assemble:assemble_bundle",
    "export_bundle": "loopline.export.checkpoint:export_bundle",
    "verify_bundle": "loopline.export.verify:verify_bundle",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'loopline.export' has no attribute '{name}'; it has: {', '.join(__all__)}")
    from loopline.core.tables import load

    return load(_EXPORTS[name])
