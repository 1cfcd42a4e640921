"""Image: Dockerfiles from a project's pins, a guard over what an engine is sent, and the build."""

from __future__ import annotations

from loopline.image.building import (
    Context,
    ImageOptions,
    Platform,
    build,
    check_context,
    dockerfile_of,
    prepare_context,
)
from loopline.image.dockerfile import Accelerator, Kind, dockerfile, image_variables
from loopline.image.unpacking import UnpackedImage, unpack

__all__ = [
    "Accelerator",
    "Context",
    "ImageOptions",
    "Kind",
    "Platform",
    "UnpackedImage",
    "build",
    "check_context",
    "dockerfile",
    "dockerfile_of",
    "image_variables",
    "prepare_context",
    "unpack",
]
