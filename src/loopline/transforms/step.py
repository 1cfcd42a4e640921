"""What every transform is: a frozen set of validated parameters that is called with what it transforms.

There are three stages of preprocess, and one of postprocess; a project's own transforms derive from these classes too:

    Decode           raw bytes of one example            → an array        the only place that meets foreign bytes
    SampleTransform  one example's array                 → another array   of the same element type
    BatchTransform   the stacked arrays of N examples    → float32         what the network takes
    OutputTransform  the graph's outputs by name         → those and more  what a person asked for
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from loopline.core.errors import InvalidExample, StateError
from loopline.core.records import TransformStep
from loopline.core.tables import resolve
from loopline.core.validation import validated

Array = NDArray[Any]
Outputs = dict[str, NDArray[np.float32]]
# The axes of an array without its batch axis; None where a length is free.
Shape = tuple[int | None, ...]


class Transform(BaseModel):
    """The parameters of a transform; unknown ones are refused, numbers in strings too, so that JSON means one thing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def bound(self, files: Mapping[str, bytes]) -> Self:
        """This transform, with what it needs of the bundle's files by name; most need none and return themselves."""
        return self


class Decode(Transform, ABC):
    """Bytes that nobody vouches for, to one example's array."""

    # What the examples are, as a manifest says it: `image`, `bands`, `text`, `values`, or a project's own word.
    input_kind: ClassVar[str]
    dtype: ClassVar[type[np.generic]]
    # Examples differ in length and are not stacked, as texts do.
    is_ragged: ClassVar[bool] = False

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """The axes of a decoded example."""

    @abstractmethod
    def __call__(self, raw: bytes) -> Array:
        """Decodes one example; raises `InvalidExample`, and nothing else, for whatever bytes."""

    def from_array(self, values: Any) -> Array:
        """What a client sent as plain numbers or text, to the same array; raises `InvalidExample`, and nothing else."""
        raise InvalidExample(f"numbers given; this model takes the files of {self.input_kind} inputs.")

    def join(self, files: Sequence[tuple[str, bytes]]) -> bytes:
        """The raw bytes of one example that came as several named files; most kinds take exactly one."""
        if len(files) != 1:
            raise InvalidExample(f"{len(files)} files given for one example; expected one.")
        return files[0][1]

    def simulate(self, shape: tuple[int, ...], rng: np.random.Generator) -> bytes:
        """The raw bytes of a made-up example of `shape`: for references of data whose samples may not leave."""
        raise StateError(f"{type(self).__name__} cannot make up examples, so nothing can stand for confidential ones.")


class SampleTransform(Transform, ABC):
    """One example's array to another."""

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """The axes after it; raises `ConfigError` for an array that it cannot take."""

    @abstractmethod
    def __call__(self, x: Array) -> Array:
        """Transforms one example, keeping the element type; raises `InvalidExample`, and nothing else."""


class BatchTransform(Transform, ABC):
    """The stacked arrays of a batch to what the network takes."""

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """The axes after it, both without the batch axis; raises `ConfigError` for an array that it cannot take."""

    @abstractmethod
    def __call__(self, x_N: Array) -> Array:
        """Transforms one batch; the first axis stays."""


class OutputTransform(Transform, ABC):
    """Outputs by name to those and derived ones."""

    @abstractmethod
    def __call__(self, outputs: Outputs) -> Outputs:
        """The given outputs with this transform's added or replaced; the dictionary itself stays as it is."""


def build_transform(table: Mapping[str, str], step: TransformStep) -> Transform:
    """The transform that a step names, with its parameters checked.

    Raises `UnknownName` for a name that is not in the table and `ConfigError` for an unknown or wrong parameter.
    """
    kind: type[Transform] = resolve(table, step.name, kind="transform")
    # JSON has no tuples, and strict validation takes no list for one.
    params = {key: tuple(value) if isinstance(value, list) else value for key, value in step.params.items()}
    return validated(kind, params, where=step.name)


def describe(name: str, transform: Transform) -> TransformStep:
    """The step that builds this transform again, with every default written out."""
    return TransformStep(name=name, params=transform.model_dump(mode="json"))
