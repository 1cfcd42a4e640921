"""Training: a composed and checked configuration becomes a run with checkpoints that resume to the bit."""

from __future__ import annotations

from typing import Any

from loopline.networks.torchvision_guard import let_torchvision_import

# Lightning imports torchvision, so this comes before anything here imports Lightning.
let_torchvision_import()

_EXPORTS = {
    "TrainConfig": "loopline.training.config:TrainConfig",
    "train": "loopline.training.running:train",
    "verify_resume": "loopline.training.resume_proof:verify_resume",
}

__all__ = ["TrainConfig", "train", "verify_resume"]


# Checking a configuration needs no Lightning, training needs all of it: each name is imported when it is first used.
def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'loopline.training' has no attribute '{name}'; it has: {', '.join(__all__)}")
    from loopline.core.tables import load

    return load(_EXPORTS[name])
