"""Pictures of several spectral bands, as drones and satellites take them: TIFF files to reflectance.

H height, W width, C bands, N examples.
"""

from __future__ import annotations

import io
import logging
import math
import re
import zlib
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from loopline.core.errors import ConfigError, InvalidExample
from loopline.transforms.standardization import Standardization
from loopline.transforms.step import BatchTransform, Decode, SampleTransform, Shape

if TYPE_CHECKING:
    from types import ModuleType

    from tifffile import TiffPage

Reflectance = NDArray[np.float32]

# Band to how file names spell it, in lower case without separators: Parrot writes GRE, RED, REG, NIR.
BAND_WORDS = {
    "blue": ("blue", "blu"),
    "green": ("green", "gre", "grn"),
    "red": ("red",),
    "red_edge": ("rededge", "reg", "edge"),
    "nir": ("nir", "nearinfrared", "infrared"),
}
# By their numbers in a TIFF file: not compressed, and deflate by its two numbers. What these make of a byte is known
# beforehand, so that no file of a kilobyte becomes a gigabyte.
_PLAIN, _DEFLATE = 1, (8, 32946)
_PREDICTORS = (1, 2)
# 2,000 × 2,000 pixels of each band.
_MAX_PIXELS = 4_000_000
_MAX_BANDS = 64
_DTYPES = ("uint8", "uint16", "float32", "float64")


class DecodeBands(Decode):
    """A TIFF file with one sample per band, or one such page per band, to x_HWC float32 reflectance (about 0 to 1).

    Whole numbers are divided by `full_scale`, or by the largest of their type where it is None; floating-point values
    are divided only where it is given. Any other number of bands than `bands` has, NaN, infinity, and more than
    `max_saturated` of a band's pixels at or above full scale are refused. LZW and other compressions than deflate are
    not read.
    """

    input_kind: ClassVar[str] = "bands"
    dtype: ClassVar[type[np.generic]] = np.float32

    # In the order of the file, and of the array's last axis.
    bands: tuple[str, ...] = Field(min_length=1, max_length=_MAX_BANDS)
    full_scale: float | None = Field(default=None, gt=0)
    # Share of a band's pixels, 0 to 1.
    max_saturated: float = Field(default=0.01, ge=0, le=1)
    max_pixels: int = Field(default=_MAX_PIXELS, ge=1, le=100_000_000)

    @property
    def shape(self) -> Shape:
        """(H, W, C), of which a file brings the first two."""
        return (None, None, len(self.bands))

    def __call__(self, raw: bytes) -> Reflectance:
        """Decodes one file; raises `InvalidExample`, and nothing else, for whatever bytes."""
        samples_CHW = _read(raw, num_bands=len(self.bands), max_pixels=self.max_pixels)
        if len(samples_CHW) != len(self.bands):
            raise InvalidExample(
                f"{_bands(len(samples_CHW))} given; expected {len(self.bands)}: {', '.join(self.bands)}."
            )
        return self._checked(self._reflectance(samples_CHW).transpose(1, 2, 0))

    def from_array(self, values: Any) -> Reflectance:
        """Reflectance (array or nested lists, H×W×C) to x_HWC float32; raises `InvalidExample` for anything else."""
        try:
            x = np.asarray(values)
        except (ValueError, TypeError, OverflowError):
            raise InvalidExample("rows of different lengths given; expected a rectangle of numbers.") from None
        if x.dtype.kind not in "iuf" or x.ndim != 3 or x.shape[2] != len(self.bands) or 0 in x.shape:
            raise InvalidExample(
                f"{_times(x.shape)} values given; expected numbers, height×width×{len(self.bands)} "
                f"({', '.join(self.bands)})."
            )
        _check_size(x.shape[1], x.shape[0], self.max_pixels)
        with np.errstate(over="ignore"):
            return self._checked(x.astype(np.float32))

    def join(self, files: Sequence[tuple[str, bytes]]) -> bytes:
        """One multi-band TIFF file as it is, or one file per band, told apart by their names, as one such file.

        Raises `InvalidExample` where a band is missing or there twice, where a name tells none, and where files differ
        in size or type.
        """
        if len(files) == 1:
            return files[0][1]
        found: dict[str, NDArray[Any]] = {}
        for name, raw in files:
            band, _ = split_band(name, self.bands)
            if band is None:
                raise InvalidExample(f"file '{name[-100:]}' names no band; expected one of {', '.join(self.bands)}.")
            if band in found:
                raise InvalidExample(f"band {band} is given twice; expected each of {', '.join(self.bands)} once.")
            found[band] = self._single(band, raw)
        if missing := [band for band in self.bands if band not in found]:
            raise InvalidExample(f"band {' and band '.join(missing)} missing; expected {', '.join(self.bands)}.")
        first = found[self.bands[0]]
        for band, samples_HW in found.items():
            for what, given, expected in (
                ("pixels", _size(samples_HW), _size(first)),
                ("in type", samples_HW.dtype.name, first.dtype.name),
            ):
                if given != expected:
                    raise InvalidExample(f"band {band} is {given} {what} and band {self.bands[0]} {expected}.")
        return encode_bands(np.stack([found[band] for band in self.bands]))

    def simulate(self, shape: tuple[int, ...], rng: np.random.Generator) -> bytes:
        """A TIFF file of smooth noise with `shape` (H, W, C), between 5 and 50% of full scale."""
        height, width, num_bands = shape
        coarse_HWC = rng.uniform(0.05, 0.5, size=(max(1, height // 8), max(1, width // 8), num_bands))
        x_HWC = ResizeBands(height=height, width=width)(coarse_HWC.astype(np.float32))
        return encode_bands((x_HWC * (self.full_scale or 1.0)).transpose(2, 0, 1))

    def _single(self, band: str, raw: bytes) -> NDArray[Any]:
        try:
            samples_CHW = _read(raw, num_bands=1, max_pixels=self.max_pixels)
        except InvalidExample as error:
            raise InvalidExample(f"band {band}: {error.message}") from error
        if len(samples_CHW) != 1:
            raise InvalidExample(f"the file of band {band} holds {_bands(len(samples_CHW))}; expected one.")
        samples_HW: NDArray[Any] = samples_CHW[0]
        return samples_HW

    def _reflectance(self, samples_CHW: NDArray[Any]) -> Reflectance:
        scale = self.full_scale
        if scale is None and samples_CHW.dtype.kind == "u":
            scale = float(np.iinfo(samples_CHW.dtype).max)
        with np.errstate(over="ignore"):
            x_CHW: Reflectance = samples_CHW.astype(np.float32)
        if scale is not None:
            x_CHW /= np.float32(scale)
        return x_CHW

    def _checked(self, x_HWC: Reflectance) -> Reflectance:
        """The array, contiguous, in which every pixel is usable but for a few saturated ones."""
        num_pixels = x_HWC.shape[0] * x_HWC.shape[1]
        for band, x_HW in zip(self.bands, np.moveaxis(x_HWC, 2, 0), strict=True):
            if num_bad := num_pixels - int(np.isfinite(x_HW).sum()):
                raise InvalidExample(f"{num_bad:,} of {num_pixels:,} pixels of band {band} are NaN or infinite.")
            share = float((x_HW >= 1).mean())
            if share > self.max_saturated:
                limit = f"expected at most {self.max_saturated:.1%}"
                raise InvalidExample(f"{share:.1%} of the pixels of band {band} are saturated; {limit}.")
        return np.ascontiguousarray(x_HWC)


class ResizeBands(SampleTransform):
    """x_HWC float32 to `height` × `width`: bilinear, anti-aliased, each band by itself; the aspect ratio may change."""

    height: int = Field(ge=1, le=8192)
    width: int = Field(ge=1, le=8192)

    def output_shape(self, shape: Shape) -> Shape:
        """(height, width, C)."""
        return (self.height, self.width, _num_bands("resize_bands", shape))

    def __call__(self, x_HWC: Reflectance) -> Reflectance:
        """Resizes one picture; one of the target's size comes back as it is."""
        if x_HWC.shape[:2] == (self.height, self.width):
            return x_HWC
        size = (self.width, self.height)
        bands = [Image.fromarray(x_HW).resize(size, Image.Resampling.BILINEAR) for x_HW in np.moveaxis(x_HWC, 2, 0)]
        return np.stack([np.asarray(band, dtype=np.float32) for band in bands], axis=2)


class NormalizeBands(Standardization):
    """x_NHWC reflectance to x_NCHW float32: (x − mean) / std, with `mean` and `std` per band."""

    def output_shape(self, shape: Shape) -> Shape:
        """(C, H, W) of (H, W, C); raises `ConfigError` where the bands are not as many as the means."""
        return _planes("normalize_bands", shape, num_means=len(self.mean))

    def __call__(self, x_NHWC: Reflectance) -> Reflectance:
        """Normalizes one batch; the result is contiguous."""
        mean_C, std_C = np.array(self.mean, dtype=np.float32), np.array(self.std, dtype=np.float32)
        return np.ascontiguousarray(((x_NHWC - mean_C) / std_C).transpose(0, 3, 1, 2))


class LogBands(BatchTransform):
    """x_NHWC reflectance to x_NCHW float32: log((x + floor) / (mean + floor)), with `mean` per band.

    Light that is stronger by a factor adds the same number everywhere, so that bands compare by differences.
    """

    mean: tuple[float, ...] = Field(min_length=1)
    # What a black pixel counts as; about the noise of a camera.
    floor: float = Field(default=0.01, gt=0)

    def output_shape(self, shape: Shape) -> Shape:
        """(C, H, W) of (H, W, C); raises `ConfigError` where the bands are not as many as the means."""
        return _planes("log_bands", shape, num_means=len(self.mean))

    def __call__(self, x_NHWC: Reflectance) -> Reflectance:
        """Takes the logarithm of one batch; the result is contiguous. Negative reflectance counts as none."""
        floor, mean_C = np.float32(self.floor), np.array(self.mean, dtype=np.float32)
        ratio_NHWC = (np.maximum(x_NHWC, 0) + floor) / (mean_C + floor)
        return np.ascontiguousarray(np.log(ratio_NHWC).transpose(0, 3, 1, 2))


def split_band(name: str, bands: Sequence[str]) -> tuple[str | None, str]:
    """The band that a file's name tells (None where it tells none of `bands`), and the name without its words.

    The last word counts, as in `red_barn_3_NIR.tif`; `red edge` is one word.
    """
    stem = re.sub(r"\.tiff?$", "", name, flags=re.IGNORECASE)
    words = list(re.finditer(r"[A-Za-z]+", stem))
    for last in range(len(words) - 1, -1, -1):
        # The longest spelling first: red edge before edge.
        for first in (last - 1, last):
            spelt = "".join(word[0] for word in words[max(first, 0) : last + 1]).lower()
            for band in bands:
                if spelt in (band.replace("_", "").lower(), *BAND_WORDS.get(band, ())):
                    start, end = words[max(first, 0)].start(), words[last].end()
                    return band, f"{stem[:start].rstrip('_-. ')}{stem[end:]}"
    return None, stem


def count_bands(raw: bytes) -> int:
    """How many bands a TIFF file has; raises `InvalidExample` for bytes that are no such file."""
    return len(_read(raw, num_bands=None, max_pixels=_MAX_PIXELS))


def encode_bands(samples_CHW: NDArray[Any]) -> bytes:
    """A multi-band TIFF file, not compressed, band after band; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    planes = "separate" if len(samples_CHW) > 1 else None
    _tifffile().imwrite(
        buffer, samples_CHW, photometric="minisblack", planarconfig=planes, metadata=None, software=False
    )
    return buffer.getvalue()


def _read(raw: bytes, *, num_bands: int | None, max_pixels: int) -> NDArray[Any]:
    """The samples (C, H, W) of a TIFF file as they are stored; of more pages than bands only one too many is read."""
    if raw[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        given = "an empty file" if not raw else f"a file of {len(raw):,} bytes that is no TIFF"
        raise InvalidExample(f"{given} given; expected a TIFF file.")
    try:
        with _tifffile().TiffFile(io.BytesIO(raw)) as file:
            pages = [file.pages[0]]
            # Not all are looked for: a file of megabytes may name millions of pages.
            while len(pages) <= (num_bands or _MAX_BANDS) and pages[0].samplesperpixel == 1:
                try:
                    pages.append(file.pages[len(pages)])
                except IndexError:
                    break
            for page in pages:
                _check_page(raw, page, num_bands=num_bands, max_pixels=max_pixels)
            if len({(page.imagewidth, page.imagelength, page.dtype) for page in pages}) > 1:
                raise InvalidExample("the pages of the TIFF file differ in size or type; expected a page per band.")
            return np.concatenate([_samples(page) for page in pages])
    except InvalidExample:
        raise
    except Exception as error:
        # A reader that meets bytes it did not expect may raise anything: whatever it is, these bytes are no picture.
        raise InvalidExample("the TIFF file is broken or truncated.") from error


def _check_page(raw: bytes, page: TiffPage, *, num_bands: int | None, max_pixels: int) -> None:
    """Raises `InvalidExample` for a page that is not what it takes, before any pixel of it is decoded."""
    numbers = (page.imagewidth, page.imagelength, page.imagedepth, page.samplesperpixel, page.rowsperstrip)
    if not all(isinstance(number, int) for number in (*numbers, page.tilewidth, page.tilelength)):
        raise InvalidExample("the TIFF file is broken: its sizes are no single numbers.")
    _check_size(page.imagewidth, page.imagelength, max_pixels)
    if page.samplesperpixel not in (1, num_bands or min(page.samplesperpixel, _MAX_BANDS)):
        raise InvalidExample(f"{_bands(page.samplesperpixel)} given; expected {_bands(num_bands or _MAX_BANDS)}.")
    if page.imagedepth != 1:
        raise InvalidExample(f"a picture of {page.imagedepth} layers in depth given; expected one.")
    _dtype(page)
    if page.compression != _PLAIN and page.compression not in _DEFLATE:
        name = getattr(page.compression, "name", page.compression)
        raise InvalidExample(f"a TIFF file with compression {name} given; expected none or deflate.")
    if page.predictor not in _PREDICTORS:
        raise InvalidExample("a TIFF file with floating-point prediction given; expected none, or that of integers.")
    _check_pieces(raw, page, max_pixels=max_pixels)


def _check_pieces(raw: bytes, page: TiffPage, *, max_pixels: int) -> None:
    """Raises `InvalidExample` where the strips or tiles of a page are fewer or larger than its size says."""
    if len(page.databytecounts) != math.prod(page.chunked) or 0 in page.databytecounts:
        raise InvalidExample("the TIFF file lacks some of its pixels.")
    if page.is_tiled:
        _check_size(page.tilewidth, page.tilelength, max_pixels)
        num_pixels = page.tilewidth * page.tilelength
    else:
        num_pixels = page.imagewidth * min(page.rowsperstrip, page.imagelength)
    limit_bytes = num_pixels * (page.samplesperpixel if page.planarconfig == 1 else 1) * _dtype(page).itemsize
    for start, num_bytes in zip(page.dataoffsets, page.databytecounts, strict=True):
        piece = raw[start : start + num_bytes]
        if page.compression in _DEFLATE:
            # Once more here and with a limit, for the reader has none.
            piece = zlib.decompressobj().decompress(piece, limit_bytes + 1)
        if len(piece) > limit_bytes:
            raise InvalidExample("a piece of the TIFF file holds more than its size says.")


def _dtype(page: TiffPage) -> np.dtype[Any]:
    if page.dtype is None or page.dtype.name not in _DTYPES:
        raise InvalidExample(f"samples of {page.dtype or 'an unknown type'} given; expected {', '.join(_DTYPES)}.")
    return page.dtype


def _samples(page: TiffPage) -> NDArray[Any]:
    """(C, H, W) of one page."""
    samples = page.asarray(maxworkers=1)
    if samples.ndim == 2:
        return samples[np.newaxis]
    return samples if page.planarconfig == 2 else samples.transpose(2, 0, 1)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if not 0 < width * height <= max_pixels:
        raise InvalidExample(f"the picture is {width}×{height} pixels; expected 1 to {max_pixels:,} in all.")


def _num_bands(name: str, shape: Shape) -> int:
    if len(shape) != 3 or shape[2] is None:
        raise ConfigError(f"{name} takes pictures (height, width, bands); arrays of {len(shape)} axes given.")
    return shape[2]


def _planes(name: str, shape: Shape, *, num_means: int) -> Shape:
    num_bands = _num_bands(name, shape)
    if num_bands != num_means:
        raise ConfigError(f"{name} has {num_means} means for {num_bands} bands; expected one each.")
    return (num_bands, *shape[:2])


def _bands(number: int) -> str:
    return f"{number} band{'' if number == 1 else 's'}"


def _size(samples_HW: NDArray[Any]) -> str:
    return f"{samples_HW.shape[1]}×{samples_HW.shape[0]}"


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "no"


@cache
def _tifffile() -> ModuleType:
    import tifffile

    # What it finds wrong is said once, by the refusal; a server's log is not filled by whoever sends broken files.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return tifffile
