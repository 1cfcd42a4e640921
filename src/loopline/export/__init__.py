"""From a trained network to a bundle, with the proof that the two agree."""

from loopline.core.tables import load

_EXPORTS = {
    "BundleFacts": "loopline.export.assemble:BundleFacts",
    "BundleParts": "loopline.export.assemble:BundleParts",
    "assemble_bundle": "loopline.export.assemble:assemble_bundle",
    "export_bundle": "loopline.export.checkpoint:export_bundle",
    "held_out_indices": "loopline.export.checkpoint:held_out_indices",
    "verify_bundle": "loopline.export.verify:verify_bundle",
}

__all__ = ["BundleFacts", "BundleParts", "assemble_bundle", "export_bundle", "held_out_indices", "verify_bundle"]


def __getattr__(name: str) -> object:
    # The exporter needs torch; whoever assembles or verifies a bundle does not.
    if name not in _EXPORTS:
        raise AttributeError(f"module 'loopline.export' has no attribute '{name}'")
    return load(_EXPORTS[name])
