"""Rows of numbers: a table's columns, a sensor's window, a spectrum. N examples, F features (the last axis)."""

from __future__ import annotations

import io
import json
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from loopline.core.errors import ConfigError, InvalidExample
from loopline.transforms.standardization import Standardization
from loopline.transforms.step import Array, Decode, Shape

_NPY = b"\x93NUMPY"


class DecodeValues(Decode):
    """A JSON array of numbers (nested as `size` has axes) or an .npy file, to float32 of `size`."""

    input_kind: ClassVar[str] = "values"
    dtype: ClassVar[type[np.generic]] = np.float32

    size: tuple[int, ...] = Field(min_length=1)

    @property
    def shape(self) -> Shape:
        """`size`, for every example has it."""
        return self.size

    def __call__(self, raw: bytes) -> NDArray[np.float32]:
        """Reads one example; raises `InvalidExample`, and nothing else, for whatever bytes."""
        if raw.startswith(_NPY):
            return self.from_array(_read_npy(raw, max_values=int(np.prod(self.size))))
        try:
            return self.from_array(json.loads(raw))
        except (ValueError, RecursionError):
            raise InvalidExample(f"{len(raw):,} bytes given that are no JSON; expected numbers in [ ].") from None

    def from_array(self, values: Any) -> NDArray[np.float32]:
        """Numbers of the right shape to float32; raises `InvalidExample` for anything else, NaN and infinity too."""
        try:
            x = np.asarray(values)
        except (ValueError, TypeError, OverflowError):
            raise InvalidExample("rows of different lengths given; expected a rectangle of numbers.") from None
        if x.shape != self.size or x.dtype.kind not in "iuf":
            given = f"{x.dtype} of shape {_times(x.shape)}" if x.dtype.kind in "iuf" else "something else than numbers"
            raise InvalidExample(f"{given} given; expected numbers of shape {_times(self.size)}.")
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)
        if not np.isfinite(x).all():
            raise InvalidExample("NaN, infinity or a number beyond float32 given; expected finite numbers.")
        return np.ascontiguousarray(x)

    def simulate(self, shape: tuple[int, ...], rng: np.random.Generator) -> bytes:
        """Standard normal numbers as JSON."""
        return json.dumps(rng.normal(size=shape).round(4).tolist()).encode()


class Standardize(Standardization):
    """(x − mean) / std along the last axis, one mean and standard deviation per feature."""

    def output_shape(self, shape: Shape) -> Shape:
        """The same axes; raises `ConfigError` where the features are not as many as the means."""
        if shape[-1] != len(self.mean):
            raise ConfigError(f"standardize has {len(self.mean)} means for {shape[-1]} features; expected one each.")
        return shape

    def __call__(self, x_N: Array) -> NDArray[np.float32]:
        """Standardizes one batch in float64, rounded once."""
        standard: NDArray[np.float32] = ((x_N - np.array(self.mean)) / np.array(self.std)).astype(np.float32)
        return standard


def _read_npy(raw: bytes, *, max_values: int) -> Array:
    """The array of an .npy file; its header is believed only as far as the file is long."""
    try:
        x: Array = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    except (ValueError, EOFError, TypeError, MemoryError, SyntaxError, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        raise InvalidExample(f"the .npy file is broken: {reason}.") from None
    if x.size > 16 * max_values:
        raise InvalidExample(f"{x.size:,} numbers given; expected {max_values:,}.")
    return x


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"
