"""`ModelBundle`: a model with everything that a server must know to answer as training did. Nothing in it executes."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from loopline.core.records.dataset import InputKind, Task
from loopline.core.records.optimization import Derivation
from loopline.core.records.record import Digest, Name, Record, Time
from loopline.core.records.run import DatasetRef


class TransformStep(Record):
    """A transform by its name in the closed table of `loopline.transforms`, with its parameters."""

    name: str
    params: dict[str, Any] = {}


class TensorSpec(Record):
    """A graph input or output: its name, element type and named axes; a fixed axis carries its length in `shape`."""

    name: str
    dtype: Literal["float32", "float16", "int64", "int32", "uint8"]
    axes: tuple[str, ...]
    # One entry per axis; None where it is free (the batch axis always is).
    shape: tuple[int | None, ...]

    @model_validator(mode="after")
    def _axes_agree(self) -> Self:
        if len(self.axes) != len(self.shape):
            raise ValueError("axes and shape differ in length")
        if not self.axes or self.axes[0] != "batch" or self.shape[0] is not None:
            raise ValueError("the first axis must be the free axis 'batch'")
        return self


class FileEntry(Record):
    """A file of the bundle."""

    digest: Digest
    num_bytes: int = Field(ge=0)


class Parity(Record):
    """How closely the graph reproduces the checkpoint it was exported from."""

    num_inputs: int = Field(ge=1)
    max_abs_error: float = Field(ge=0)
    tolerance: float = Field(gt=0)

    @model_validator(mode="after")
    def _within_tolerance(self) -> Self:
        if self.max_abs_error > self.tolerance:
            raise ValueError(f"parity {self.max_abs_error:.3g} exceeds its tolerance {self.tolerance:.3g}")
        return self


class Reference(Record):
    """The raw inputs that whoever opens the bundle must reproduce, and the held-out outputs that drift compares with.

    `inputs_file` holds the arrays `data` (uint8), `offsets` (int64), and one array per graph output; `drift_file` holds
    `embedding` (num_drift, D) and `outputs` (num_drift, K), of the split `drift_split`, which training did not see.
    """

    inputs_file: str
    num_inputs: int = Field(ge=1)
    tolerance: float = Field(gt=0)
    drift_file: str
    drift_split: Name
    num_drift: int = Field(ge=1)
    # The inputs are made up, because the dataset's own are confidential.
    is_simulated: bool = False


class Runtime(Record):
    """The engine that opens the graphs, the version that made the bundle's parity, and the least that is accepted."""

    engine: Name
    version: str
    minimum_version: str


class ModelBundle(Record):
    """`bundle.json`; `digest` is that of the canonical JSON of all other keys, so it covers every file's digest."""

    schema_version: Literal[1] = 1
    name: Name
    digest: Digest
    task: Task
    input_kind: InputKind
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    preprocess: tuple[TransformStep, ...]
    postprocess: tuple[TransformStep, ...]
    # Role (`float32`) to the file's path in the bundle.
    graphs: dict[str, str] = Field(min_length=1)
    label_names: tuple[str, ...] = ()
    # Of the value, where the task is to predict one, as `kg N/ha`.
    unit: str | None = None
    run_id: Name
    dataset: DatasetRef
    metrics: dict[str, float] = {}
    # The bundle that this one was made of by `loopline optimize`, and what that cost and gained.
    parent: Digest | None = None
    derivation: Derivation | None = None
    parity: Parity
    reference: Reference
    runtime: Runtime
    licence: str
    files: dict[str, FileEntry]
    created_at: Time

    @model_validator(mode="after")
    def _derivation_has_a_parent(self) -> Self:
        if self.derivation is not None and self.parent is None:
            raise ValueError("a derivation needs the parent that it is of")
        return self

    @model_validator(mode="after")
    def _files_are_listed(self) -> Self:
        named = {*self.graphs.values(), self.reference.inputs_file, self.reference.drift_file}
        missing = sorted(named - self.files.keys())
        if missing:
            raise ValueError(f"named but not listed in files: {', '.join(missing)}")
        for path in self.files:
            if path.startswith("/") or "\\" in path or ".." in path.split("/"):
                raise ValueError(f"file path '{path}' leaves the bundle's folder")
        return self


class BundleCheck(Record):
    """One claim of a bundle, recomputed."""

    name: str
    passed: bool
    found: str
