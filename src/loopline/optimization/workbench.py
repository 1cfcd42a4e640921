"""What a recipe is given and what it makes. Whoever knows the other stages brings a `Workbench`.

N examples, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from loopline.core.records import Derivation, PairedComparison, Record, TransformStep
from loopline.predictor import Predicted, PredictorLike
from loopline.transforms import Pipeline

if TYPE_CHECKING:
    from torch import nn

    from loopline.networks import Network

# float32 sums in another order, and nothing else: what `export` allows between an engine's builds.
EXACT_TOLERANCE = 1e-3


class OptimizeSettings(Record):
    """What is tried, and how long; every field is an option of `loopline optimize`."""

    max_drop: float = Field(
        default=0.5, ge=0, description="Points of accuracy or chrF, or per cent of the mean error, that may be lost."
    )
    min_speedup: float = Field(default=1.0, ge=0, description="Times the parent's speed that must be reached.")
    recipes: tuple[str, ...] = Field(default=(), description="Only these recipes.")
    epochs: int = Field(default=2, ge=1, le=1000, description="Epochs that a pruned network learns again.")
    student_epochs: int = Field(default=10, ge=1, le=1000, description="Epochs that a smaller network learns.")
    student: dict[str, str] = Field(default={}, description="The smaller network, by what differs from the run's.")
    pruned_share: float = Field(default=0.3, gt=0, lt=1, description="Share of the inner channels that is pruned.")
    num_calibration: int = Field(default=128, ge=1, description="Training examples that ranges are taken from.")
    rounds: int = Field(default=5, ge=1, le=1000, description="Rounds that speeds are compared in.")
    round_s: float = Field(default=1.0, gt=0, le=3600, description="Seconds per candidate and round.")
    threads: int = Field(default=1, ge=1, le=1024, description="Threads that ask at the same time.")
    seed: int = Field(default=0, ge=0, description="Of every draw.")


@dataclass(frozen=True)
class Draft:
    """A candidate that is not measured yet: a graph, the steps before it, and where it comes from."""

    # Recipes in the order in which they were applied.
    recipes: tuple[str, ...]
    graph: bytes
    preprocess: tuple[TransformStep, ...]
    # The role that its graph has in a bundle: what it computes in.
    role: str = "float32"
    note: str = ""
    engine: str = "onnxruntime"
    # By how much another build of the engine may differ.
    tolerance: float = EXACT_TOLERANCE

    @property
    def name(self) -> str:
        """The recipes as one name."""
        return "-then-".join(self.recipes)

    def then(self, recipe: str, graph: bytes, *, role: str, note: str, tolerance: float) -> Draft:
        """This draft after one more recipe."""
        notes = "; ".join(part for part in (self.note, note) if part)
        recipes = (*self.recipes, recipe)
        return replace(self, recipes=recipes, graph=graph, role=role, note=notes, tolerance=tolerance)


@dataclass(frozen=True)
class Result:
    """What a candidate was found to be: it travels in its bundle."""

    derivation: Derivation
    score: float
    predicted: Predicted


class Workbench(Protocol):
    """The parent, its data and its run, and the tools of other stages."""

    @property
    def parent(self) -> PredictorLike:
        """The bundle as it is."""

    @property
    def split(self) -> str:
        """The name of the split that candidates are judged on."""

    @property
    def is_mirrored(self) -> bool:
        """True where training showed examples mirrored, too."""

    @property
    def model(self) -> Mapping[str, Any]:
        """The configuration of the run's network, by its fields; raises `StateError` where the run is not here."""

    def network(self) -> Network:
        """A fresh copy of the run's network with its best weights; raises `StateError` where the run is not here."""

    def training_inputs(self, pipeline: Pipeline) -> NDArray[Any]:
        """The training split, decoded by this pipeline, in its order."""

    def training_raws(self, indices: Sequence[int]) -> list[bytes]:
        """Some raw examples of the training split."""

    def training_targets(self) -> NDArray[Any]:
        """The targets of the training split."""

    def raws(self, num_examples: int) -> list[bytes]:
        """The first raw examples of the split that candidates are judged on."""

    def export(self, network: nn.Module, pipeline: Pipeline) -> bytes:
        """A network as a graph that takes what the pipeline gives."""

    def seal(self, draft: Draft, folder: Path, *, result: Result | None = None) -> Path:
        """Writes a draft as a bundle into `folder`; without a result it is only to be measured."""

    def requantize(self, folder: Path, *, result: Result | None = None) -> Path:
        """Writes a translator whose weights are int8 as a bundle into `folder`, as `seal` does."""

    def predict(self, predictor: PredictorLike) -> Predicted:
        """The answers to the whole split."""

    def score(self, predicted: Predicted) -> float:
        """Accuracy, mean absolute error or mean chrF of answers to the whole split."""

    def compare(self, challenger: Predicted) -> PairedComparison:
        """A candidate's answers to the whole split against the parent's."""


def calibration_inputs(bench: Workbench, pipeline: Pipeline, settings: OptimizeSettings) -> NDArray[np.float32]:
    """Some training inputs as the graph takes them, always the same ones."""
    num_training = len(bench.training_targets())
    chosen = np.random.default_rng(settings.seed).permutation(num_training)[: settings.num_calibration]
    return pipeline.collate(np.stack([pipeline.decode(raw) for raw in bench.training_raws(np.sort(chosen).tolist())]))
