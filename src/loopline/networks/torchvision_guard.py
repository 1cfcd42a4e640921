"""Lets `import torchvision` work where its compiled operators do not load.

On package indexes that pair a CPU build of torch with torchvision's CUDA build, the operators' library cannot be
loaded, and `import torchvision` ends with "operator torchvision::nms does not exist"; so do `import lightning` and
`import timm`, which import it. Only detection needs those operators: declaring the two that torchvision looks for at
import time lets everything else (transforms, datasets, timm) work. Where the library loads, nothing is declared.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def let_torchvision_import() -> torch.library.Library | None:
    """Declares the operators where they are missing, once; call it before anything imports torchvision.

    Returns the declarations, which live as long as the cache holds them, or None where nothing was missing.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or hasattr(torch.ops.torchvision, "nms"):
        return None
    compiled = sorted(Path(spec.origin).parent.glob("_C*.*"))
    try:
        for library in compiled:
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]  # torch omits it
    except OSError:
        # Of another build of torch: see above.
        compiled = []
    if compiled and hasattr(torch.ops.torchvision, "nms"):
        return None
    declared = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # as above
    for schema in _SCHEMAS:
        declared.define(schema)  # type: ignore[no-untyped-call]  # as above
    return declared
