"""Batches whose content is a function of (seed, epoch, batch): they can be made anywhere, in any process, again.

An epoch's order and all its random numbers come from counter-based generators keyed by (seed, epoch). So a
checkpoint needs two numbers, the epoch and the batches done, and a run resumed in mid-epoch sees exactly what it would
have seen. N examples of a batch, H height, W width, C channels, R random numbers per example.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from loopline.snapshots import SplitReader, decoded_inputs
from loopline.training.augment import NUM_DRAWS, AugmentConfig, Draws, sides
from loopline.transforms import Pipeline


class BatchKey(NamedTuple):
    """The address of a batch."""

    epoch: int
    batch: int


class Batch(NamedTuple):
    """What a step takes; where examples were mixed, also what with, and the share that each kept of itself."""

    x_N: Tensor
    targets_N: Tensor
    others_N: Tensor | None = None
    kept: float = 1.0


class Share(NamedTuple):
    """The part of the work that is done by one of several processes, which train one network together."""

    rank: int = 0
    num_ranks: int = 1

    def of(self, places: range) -> range:
        """This rank's places."""
        return places[self.rank :: self.num_ranks]


_WHOLE = Share()


class Shuffle(NamedTuple):
    """How training batches differ from others."""

    seed: int
    augment: AugmentConfig
    # Draws every class equally often, instead of every example once.
    balanced: bool = False
    share: Share = _WHOLE


class _Plan(NamedTuple):
    epoch: int
    order: NDArray[np.int64]
    # One row for each place of the order.
    table: NDArray[np.float64]
    # From which side each example is seen, by its index.
    sides: NDArray[np.int64]
    draws: Draws


# What a place's generator is used for; a batch's first place stands for the batch.
_PICTURE, _BATCH = 1, 2


class BatchSource(Dataset[Batch], ABC):
    """Batches by key, as many each epoch; what they hold is a function of the key."""

    @abstractmethod
    def __len__(self) -> int:
        """The batches of an epoch."""

    @abstractmethod
    def __getitem__(self, key: BatchKey) -> Batch:
        """One batch."""


class Batches(BatchSource):
    """A split's batches by key. Training ones are shuffled, augmented and all of one size; others are plain and all.

    Of a training batch each rank makes its share, of the same examples as one process alone would take.
    Pickled without its arrays: a worker process maps the decoded cache itself.
    """

    def __init__(
        self,
        split: SplitReader,
        pipeline: Pipeline,
        cache: Path,
        *,
        batch_size: int,
        max_examples: int | None = None,
        shuffle: Shuffle | None = None,
    ) -> None:
        self._source = (split, pipeline, cache)
        self.num_examples = min(split.num_examples, max_examples or split.num_examples)
        self.batch_size = min(batch_size, self.num_examples)
        self._shuffle = shuffle
        self._plan: _Plan | None = None

    def __len__(self) -> int:
        if self._shuffle is not None:
            # A last, smaller batch would weigh its examples more, and one of a single example breaks normalisation.
            return self.num_examples // self.batch_size
        return math.ceil(self.num_examples / self.batch_size)

    def __getitem__(self, key: BatchKey) -> Batch:
        whole = range(key.batch * self.batch_size, min((key.batch + 1) * self.batch_size, self.num_examples))
        if self._shuffle is None:
            indices = np.asarray(whole)
            return self._batch(self._examples[indices], indices)
        augment, plan = self._shuffle.augment, self._planned(key.epoch, self._shuffle)
        mixes = augment.mixup > 0 or augment.cutmix > 0
        # An example is mixed with another of the whole batch.
        places = whole if mixes else self._shuffle.share.of(whole)
        indices = plan.order[places]
        x_N = augment.apply(self._examples[indices], plan.table[places], sides_N=plan.sides[indices], epoch=key.epoch)
        if augment.by_picture:
            randoms = (plan.draws.place(place, _PICTURE) for place in places)
            x_N = np.stack([augment.change(x, random) for x, random in zip(x_N, randoms, strict=True)])
        batch = self._batch(x_N, indices)
        if not mixes:
            return batch
        mixed_NCHW, kept = augment.mix(batch.x_N.numpy(), plan.draws.place(whole.start, _BATCH))
        mine = self._shuffle.share.of(range(len(whole)))
        others_N = batch.targets_N.roll(1)[mine]
        return Batch(torch.from_numpy(mixed_NCHW[mine]), batch.targets_N[mine], others_N, kept)

    def _batch(self, x_N: NDArray[Any], indices: NDArray[np.int64]) -> Batch:
        _, pipeline, _ = self._source
        return Batch(torch.from_numpy(pipeline.collate(x_N)), torch.from_numpy(self._targets[indices]))

    def __getstate__(self) -> dict[str, object]:
        kept = ("_source", "num_examples", "batch_size", "_shuffle")
        return {name: self.__dict__[name] for name in kept} | {"_plan": None}

    def prepare(self) -> None:
        """Makes the decoded cache where it is missing, with a progress bar, before anybody waits for a batch."""
        _ = self._examples, self._targets

    @cached_property
    def _examples(self) -> NDArray[Any]:
        split, pipeline, cache = self._source
        return decoded_inputs(split, pipeline, cache)

    @cached_property
    def _targets(self) -> NDArray[Any]:
        return self._source[0].targets

    def _planned(self, epoch: int, shuffle: Shuffle) -> _Plan:
        if self._plan is None or self._plan.epoch != epoch:
            draws = Draws(shuffle.seed, epoch)
            random = draws.epoch()
            order = self._balanced(random) if shuffle.balanced else random.permutation(self.num_examples)
            table = random.random((self.num_examples, NUM_DRAWS))
            seen_from = sides(self.num_examples, seed=shuffle.seed, epoch=epoch)
            self._plan = _Plan(epoch, order, table, seen_from, draws)
        return self._plan

    def _balanced(self, random: np.random.Generator) -> NDArray[np.int64]:
        """As many examples as there are, drawn with replacement: first a class, each as likely, then one of its own."""
        targets_N = self._targets[: self.num_examples]
        counts_K = np.bincount(targets_N)
        share_N = 1 / counts_K[targets_N]
        return random.choice(self.num_examples, size=self.num_examples, p=share_N / share_N.sum())


class Place(Sampler[BatchKey]):
    """Where an epoch's iteration starts: batch 0, except in the epoch that a run is resumed in.

    With a `share`, only those batches that are this rank's.
    """

    def __init__(self, num_batches: int, share: Share) -> None:
        self._batches = share.of(range(num_batches))
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before every epoch, and before it goes on with one, which keeps its start."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __iter__(self) -> Iterator[BatchKey]:
        return iter([BatchKey(self.epoch, batch) for batch in self._batches[self.start :]])

    def __len__(self) -> int:
        return len(self._batches)


class Loader:
    """Iterates over batches, in `num_workers` processes; can go on in mid-epoch: Lightning keeps its state.

    With a `share`, over this rank's batches; where there are fewer batches than ranks, every rank takes all of them.
    """

    def __init__(self, batches: BatchSource, *, num_workers: int, share: Share = _WHOLE) -> None:
        # Lightning looks for these two as a DataLoader has them, and calls `sampler.set_epoch`.
        self.sampler = Place(len(batches), share if len(batches) >= share.num_ranks else _WHOLE)
        self.batch_sampler = None
        self._loader: DataLoader[Batch] = DataLoader(
            batches,
            batch_size=None,
            sampler=self.sampler,
            num_workers=num_workers,
            collate_fn=_as_it_is,
            persistent_workers=num_workers > 0,
            # Its own: the loader would otherwise draw from the global generator whenever it is restarted.
            generator=torch.Generator(),
        )
        self._done = 0

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        # A generator, so that nothing is read before the first batch is asked for: by then the epoch is set.
        self._done = self.sampler.start
        for batch in self._loader:
            # Counted as done when it is handed out: a checkpoint is saved after the step that used it.
            self._done += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch and how many of its batches were handed out."""
        return {"epoch": self.sampler.epoch, "done": self._done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on after the batches that were handed out."""
        self.sampler.epoch, self.sampler.start = state["epoch"], state["done"]


def _as_it_is(batch: Any) -> Any:
    return batch
