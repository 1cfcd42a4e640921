"""Decoding and transforms: the one implementation that training, evaluation and serving share. NumPy and Pillow only.

A preprocess is a list of names with parameters (`TransformStep`), so a bundle carries it as data:

    raw bytes ── decode_image ──> x_HWC uint8 ── resize, center_crop ──> x_HWC uint8 ── normalize ──> x_NCHW float32
                 └───────────── Pipeline.decode, one example ─────────┘    └─ Pipeline.collate, one batch ─┘
"""

from loopline.transforms.pipeline import (
    POSTPROCESSES,
    TRANSFORMS,
    Pipeline,
    Postprocess,
    build_pipeline,
    build_postprocess,
    image_steps,
)

__all__ = [
    "POSTPROCESSES",
    "TRANSFORMS",
    "Pipeline",
    "Postprocess",
    "build_pipeline",
    "build_postprocess",
    "image_steps",
]
