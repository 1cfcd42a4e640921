"""Decoding and transforms: the one implementation that training, evaluation and serving share. No torch.

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
    faster_steps,
    image_steps,
)
from loopline.transforms.step import BatchTransform, Decode, OutputTransform, SampleTransform, Transform

__all__ = [
    "POSTPROCESSES",
    "TRANSFORMS",
    "BatchTransform",
    "Decode",
    "OutputTransform",
    "Pipeline",
    "Postprocess",
    "SampleTransform",
    "Transform",
    "build_pipeline",
    "build_postprocess",
    "faster_steps",
    "image_steps",
]
