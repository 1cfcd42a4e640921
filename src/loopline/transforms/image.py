"""Images: decoding bytes that nobody vouches for, and the geometry after it.

H height, W width, C channels (1 for mode "L", 3 for "RGB"), N examples.

Nothing here changes Pillow's global settings, so these functions are safe in any thread.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile
from pydantic import Field

from loopline.core.errors import ConfigError, InvalidExample
from loopline.core.tables import load
from loopline.transforms.jpeg import decode_jpeg, divisor_for
from loopline.transforms.standardization import Standardization
from loopline.transforms.step import Decode, SampleTransform, Shape

Pixels = NDArray[np.uint8]

# The formats are a closed table too: Pillow can open forty, some of which start other programs. The classes are called
# directly because `Image.open` warns about large pictures through the process-wide filters; the limit here is our own.
_FORMATS: tuple[tuple[str, int, bytes, type[ImageFile.ImageFile]], ...] = (
    ("PNG", 0, b"\x89PNG\r\n\x1a\n", PngImageFile),
    ("JPEG", 0, b"\xff\xd8\xff", JpegImageFile),
    ("WebP", 8, b"WEBP", WebPImageFile),
    ("GIF", 0, b"GIF8", GifImageFile),
    ("BMP", 0, b"BM", BmpImageFile),
)
FORMAT_NAMES = tuple(name for name, *_ in _FORMATS)
_CHANNELS = {"L": 1, "RGB": 3}
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_SIMD = "loopline.transforms.resampling:resample"
# EXIF 0x0112: how the camera was held, as the transposition that stands the picture up.
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = (5, 6, 7, 8)


class DecodeImage(Decode):
    """Bytes of a PNG, JPEG, WebP, GIF or BMP file to x_HWC uint8, upright, in `mode`.

    The size in the header is checked against `max_pixels` before a pixel is decoded. Transparency is laid on white,
    16-bit grey keeps its high byte, CMYK and palettes become colours, colours become grey by ITU-R 601-2 luma, EXIF
    orientation is applied; colour profiles are ignored. Files with several frames are refused: which one is meant?

    With `shrink_to` (height, width of the upright picture) a JPEG comes out divided by 2, 4 or 8, if that leaves it at
    least as large: the decoder then computes only what is wanted.
    """

    input_kind: ClassVar[str] = "image"
    dtype: ClassVar[type[np.generic]] = np.uint8

    mode: Literal["L", "RGB"]
    # 50 million: a telephone's 48-megapixel photograph passes, 12,000 × 12,000 does not.
    max_pixels: int = Field(default=50_000_000, ge=1, le=1_000_000_000)
    shrink_to: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None

    @property
    def num_channels(self) -> int:
        """C of the decoded array."""
        return _CHANNELS[self.mode]

    @property
    def shape(self) -> Shape:
        """(H, W, C), of which a picture brings the first two."""
        return (None, None, self.num_channels)

    def __call__(self, raw: bytes) -> Pixels:
        """Decodes one file; raises `InvalidExample`, and nothing else, for whatever bytes."""
        name, kind = _identify(raw)
        try:
            # A plug-in that meets bytes it did not expect may raise anything at all, from SyntaxError to struct.error:
            # whatever it is, it says that these bytes are no picture.
            with kind(io.BytesIO(raw)) as image:
                self._check_header(image)
                x_HWC = self._decode_jpeg(image, raw) if isinstance(image, JpegImageFile) else None
                return _pixels(image, self.mode) if x_HWC is None else x_HWC
        except InvalidExample:
            raise
        except Exception as error:
            raise InvalidExample(f"the {name} file is broken or truncated: {_reason(error)}.") from error

    def from_array(self, values: Any) -> Pixels:
        """Pixel values (array or nested lists, H×W or H×W×C, whole numbers from 0 to 255) to x_HWC uint8.

        Raises `InvalidExample` for anything else: ragged lists, other shapes, NaN, fractions, numbers out of range.
        """
        x = _numbers(values)
        if x.ndim == 2:
            x = x[:, :, np.newaxis]
        if x.ndim != 3 or x.shape[2] != self.num_channels or 0 in x.shape:
            shape = "×".join(map(str, x.shape)) or "one number"
            also = " or height×width" if self.num_channels == 1 else ""
            raise InvalidExample(f"pixels of shape {shape} given; expected height×width×{self.num_channels}{also}.")
        self._check_size(x.shape[1], x.shape[0])
        return _whole_bytes(x)

    def simulate(self, shape: tuple[int, ...], rng: np.random.Generator) -> bytes:
        """A PNG file of smooth noise with `shape` (H, W, C)."""
        height, width, _ = shape
        coarse = rng.integers(0, 256, size=(max(1, height // 8), max(1, width // 8), self.num_channels), dtype=np.uint8)
        x_HWC = Resize(height=height, width=width)(coarse)
        buffer = io.BytesIO()
        Image.fromarray(x_HWC[:, :, 0] if self.num_channels == 1 else x_HWC).save(buffer, "PNG")
        return buffer.getvalue()

    def _decode_jpeg(self, image: JpegImageFile, raw: bytes) -> Pixels | None:
        """The upright pixels, only as many as are wanted; None leaves `image` ready to be decoded to so many."""
        orientation = image.getexif().get(_ORIENTATION_TAG)
        # The file is as the camera was held; the size that is asked for is upright.
        least = self.shrink_to[::-1] if self.shrink_to and orientation in _LYING else self.shrink_to
        divisor = divisor_for(image.width, image.height, least)
        if image.mode == self.mode:
            size = {"height": math.ceil(image.height / divisor), "width": math.ceil(image.width / divisor)}
            x_HWC = decode_jpeg(raw, mode=image.mode, **size)
            if x_HWC is not None:
                return np.ascontiguousarray(_stand_up(x_HWC, orientation))
        if divisor > 1:
            image.draft(None, (image.width // divisor, image.height // divisor))
        return None

    def _check_header(self, image: ImageFile.ImageFile) -> None:
        self._check_size(image.width, image.height)
        if getattr(image, "is_animated", False):
            raise InvalidExample("the file holds several frames; expected a single picture.")

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.max_pixels:
            raise InvalidExample(
                f"the picture is {width}×{height} pixels; expected at most {self.max_pixels:,} in all."
            )


class Resize(SampleTransform):
    """x_HWC to `height` × `width`, with Pillow's anti-aliased filters.

    `fit="stretch"` changes the aspect ratio; `fit="cover"` cuts the largest centred part of the target's ratio first.
    `kernel="simd"` computes the same filters with vector instructions, several times as fast; pixels differ by a grey
    value here and there.
    """

    height: int = Field(ge=1, le=8192)
    width: int = Field(ge=1, le=8192)
    fit: Literal["stretch", "cover"] = "stretch"
    resampling: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = "bilinear"
    kernel: Literal["pillow", "simd"] = "pillow"

    def output_shape(self, shape: Shape) -> Shape:
        """(height, width, C)."""
        return (self.height, self.width, _channels("resize", shape))

    def __call__(self, x_HWC: Pixels) -> Pixels:
        """Resizes one image; an image of the target's size comes back as it is."""
        height, width, num_channels = x_HWC.shape
        if (height, width) == (self.height, self.width):
            return x_HWC
        box = (0.0, 0.0, float(width), float(height)) if self.fit == "stretch" else self._centred(height, width)
        if self.kernel == "simd":
            resample = load(_SIMD)
            resampled: Pixels = resample(
                x_HWC, height=self.height, width=self.width, box=box, resampling=self.resampling
            )
            return resampled
        image = Image.fromarray(x_HWC[:, :, 0] if num_channels == 1 else x_HWC)
        resized = image.resize((self.width, self.height), _RESAMPLING[self.resampling], box=box)
        return np.asarray(resized, dtype=np.uint8).reshape(self.height, self.width, num_channels)

    def bound(self, files: Mapping[str, bytes]) -> Self:
        if self.kernel == "simd":
            # Here and not at the first picture: a missing package is a sentence when the bundle is opened.
            load(_SIMD)
        return self

    def _centred(self, height: int, width: int) -> tuple[float, float, float, float]:
        # One factor for both axes, so that the cut part has exactly the target's ratio and needs no rounding.
        factor = min(width / self.width, height / self.height)
        left, top = (width - factor * self.width) / 2, (height - factor * self.height) / 2
        return (left, top, min(left + factor * self.width, width), min(top + factor * self.height, height))


class CenterCrop(SampleTransform):
    """The middle `height` × `width` of x_HWC; an odd margin leaves its extra pixel below and to the right."""

    height: int = Field(ge=1, le=8192)
    width: int = Field(ge=1, le=8192)

    def output_shape(self, shape: Shape) -> Shape:
        """(height, width, C); raises `ConfigError` where every example is known to be smaller."""
        for name, length, least in (("height", shape[0], self.height), ("width", shape[1], self.width)):
            if length is not None and length < least:
                raise ConfigError(f"center_crop.{name}: {least} given for pictures of {length}; expected at most that.")
        return (self.height, self.width, _channels("center_crop", shape))

    def __call__(self, x_HWC: Pixels) -> Pixels:
        """Crops one image; raises `InvalidExample` for one that is smaller than the crop."""
        height, width, _ = x_HWC.shape
        if height < self.height or width < self.width:
            raise InvalidExample(
                f"the picture is {width}×{height} pixels; expected at least {self.width}×{self.height}."
            )
        top, left = (height - self.height) // 2, (width - self.width) // 2
        return np.ascontiguousarray(x_HWC[top : top + self.height, left : left + self.width])


class Normalize(Standardization):
    """x_NHWC uint8 to x_NCHW float32: (x / 255 − mean) / std, `mean` and `std` per channel in units of full scale."""

    def output_shape(self, shape: Shape) -> Shape:
        """(C, H, W) of (H, W, C); raises `ConfigError` where the channels are not as many as the means."""
        num_channels = _channels("normalize", shape)
        if num_channels != len(self.mean):
            raise ConfigError(f"normalize has {len(self.mean)} means for {num_channels} channels; expected one each.")
        return (num_channels, *shape[:2])

    def __call__(self, x_NHWC: Pixels) -> NDArray[np.float32]:
        """Normalizes one batch; the result is contiguous."""
        num_examples, height, width, num_channels = x_NHWC.shape
        scale_C11, offset_C11 = self._line
        # One pass that moves and scales, one that shifts: no float copy in the old order of axes.
        x_NCHW = np.empty((num_examples, num_channels, height, width), dtype=np.float32)
        np.multiply(x_NHWC.transpose(0, 3, 1, 2), scale_C11, out=x_NCHW)
        x_NCHW += offset_C11
        return x_NCHW

    @cached_property
    def _line(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scale and offset of each channel."""
        mean_C11 = np.array(self.mean)[:, np.newaxis, np.newaxis]
        std_C11 = np.array(self.std)[:, np.newaxis, np.newaxis]
        return (1 / (255 * std_C11)).astype(np.float32), (-mean_C11 / std_C11).astype(np.float32)


def _channels(name: str, shape: Shape) -> int:
    if len(shape) != 3 or shape[2] is None:
        raise ConfigError(f"{name} takes pictures (height, width, channels); arrays of {len(shape)} axes given.")
    return shape[2]


def _identify(raw: bytes) -> tuple[str, type[ImageFile.ImageFile]]:
    for name, offset, signature, kind in _FORMATS:
        if raw[offset : offset + len(signature)] == signature:
            return name, kind
    given = "an empty file" if not raw else f"a file of {len(raw):,} bytes that is no picture"
    raise InvalidExample(f"{given} given; expected {', '.join(FORMAT_NAMES[:-1])} or {FORMAT_NAMES[-1]}.")


def _pixels(image: Image.Image, mode: Literal["L", "RGB"]) -> Pixels:
    image.load()
    orientation = image.getexif().get(_ORIENTATION_TAG)
    if image.mode.startswith("I"):
        # Pillow's own conversion of 16-bit grey clips at 255 and turns nearly every picture white.
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    if image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    if image.mode != mode:
        image = image.convert(mode)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    # Bytes that the array can keep and that may be written to: numpy asks a picture for them by a longer way.
    pixels = np.frombuffer(bytearray(image.tobytes()), dtype=np.uint8)
    return pixels.reshape(image.height, image.width, _CHANNELS[mode])


def _stand_up(x_HWC: Pixels, orientation: int | None) -> Pixels:
    """What `_UPRIGHT` does to a picture, for its array."""
    if orientation in (2, 3):
        x_HWC = x_HWC[:, ::-1]
    if orientation in (3, 4):
        x_HWC = x_HWC[::-1]
    if orientation in _LYING:
        x_HWC = x_HWC.transpose(1, 0, 2)
    if orientation in (6, 7):
        x_HWC = x_HWC[:, ::-1]
    if orientation in (7, 8):
        x_HWC = x_HWC[::-1]
    return x_HWC


def _reason(error: Exception) -> str:
    """What the decoder said, on one line; never more than a sentence's worth."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.rstrip(".")[:200]


def _numbers(values: Any) -> NDArray[Any]:
    try:
        x = np.asarray(values)
    except (ValueError, TypeError, OverflowError):
        raise InvalidExample("the rows of pixels differ in length; expected a rectangle of numbers.") from None
    if x.dtype.kind not in "iuf":
        raise InvalidExample("the pixels are not all numbers; expected whole numbers from 0 to 255.")
    return x


def _whole_bytes(x: NDArray[Any]) -> Pixels:
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    if x.dtype.kind == "f":
        if not np.isfinite(x).all():
            raise InvalidExample("the pixels hold NaN or infinity; expected whole numbers from 0 to 255.")
        if (x != np.floor(x)).any():
            raise InvalidExample("the pixels hold fractions; expected whole numbers from 0 to 255.")
    if x.min() < 0 or x.max() > 255:
        raise InvalidExample(f"the pixels lie between {x.min():g} and {x.max():g}; expected 0 to 255.")
    return np.ascontiguousarray(x, dtype=np.uint8)
