"""Batches of pairs of texts, of about as many tokens each, whose content is a function of (seed, epoch, batch).

Pairs of nearly the same lengths go together, so that little is padding. Which pairs of one length meet, and in which
order the batches come, is drawn anew each epoch by a generator keyed by (seed, epoch), see `loopline.training.batches`;
where batches begin depends on lengths alone, so that every epoch has as many. N pairs.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sentencepiece
import torch
from numpy.typing import NDArray

from loopline.core.errors import ConfigError, InvalidExample
from loopline.core.progress import track
from loopline.core.store import atomic_file, digest_json, lock
from loopline.snapshots import SplitReader
from loopline.training.augment import Draws
from loopline.training.batches import Batch, BatchKey, BatchSource
from loopline.transforms import Pipeline
from loopline.transforms.text import Ids, TokenizeText, pad

# Lengths are rounded up to a multiple of this: more pairs count as equally long, and mix.
_ROUND = 4
_WAIT_S = 3600.0


class TokenPairs(NamedTuple):
    """The ids of all pairs, one after the other, with where each begins: `x_offsets[i]` to `x_offsets[i + 1]`."""

    sources: Ids
    source_offsets: NDArray[np.int64]
    targets: Ids
    target_offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.source_offsets) - 1


class TokenBatches(BatchSource):
    """A split's batches by key, each of at most `max_tokens` on its longer side, padding included.

    With a `seed` they are shuffled; without, the pairs stand in the order of their lengths. Pairs with a side longer
    than a segment are left out, for the network never sees such a one.
    """

    def __init__(
        self,
        split: SplitReader,
        pipeline: Pipeline,
        cache: Path,
        *,
        max_tokens: int,
        max_examples: int | None = None,
        seed: int | None = None,
    ) -> None:
        self._source = (split, pipeline, cache)
        self._max_tokens = max_tokens
        self._max_examples = max_examples
        self._seed = seed
        self._plan: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, key: BatchKey) -> Batch:
        order, batches = self._planned(key.epoch)
        number = int(batches[key.batch])
        rows = order[self._starts[number] : self._starts[number + 1]]
        pairs = self._pairs
        sources = [pairs.sources[pairs.source_offsets[row] : pairs.source_offsets[row + 1]] for row in rows]
        targets = [pairs.targets[pairs.target_offsets[row] : pairs.target_offsets[row + 1]] for row in rows]
        pad_id = tokenize_step(self._source[1]).tokenizer.pad_id
        return Batch(torch.from_numpy(pad(sources, pad_id)), torch.from_numpy(pad(targets, pad_id)))

    def __getstate__(self) -> dict[str, object]:
        kept = ("_source", "_max_tokens", "_max_examples", "_seed")
        return {name: self.__dict__[name] for name in kept} | {"_plan": None}

    @cached_property
    def _pairs(self) -> TokenPairs:
        return token_pairs(*self._source)

    @cached_property
    def _rounded(self) -> NDArray[np.int64]:
        """Lengths of sources and targets, rounded up."""
        num_pairs = min(len(self._pairs), self._max_examples or len(self._pairs))
        lengths = [np.diff(self._pairs.source_offsets), np.diff(self._pairs.target_offsets)]
        return np.stack([-(-each[:num_pairs] // _ROUND) * _ROUND for each in lengths])

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Where the batches begin in the order of lengths, and where the last one ends."""
        longest_N = np.sort(self._rounded[0]), self._rounded[1][np.lexsort(self._rounded[::-1])]
        starts, longest = [0], 0
        for place, (source, target) in enumerate(zip(*(each.tolist() for each in longest_N), strict=True)):
            longest = max(longest, source, target)
            if (place - starts[-1] + 1) * longest > self._max_tokens and place > starts[-1]:
                starts.append(place)
                longest = max(source, target)
        return np.array([*starts, self._rounded.shape[1]], dtype=np.int64)

    def _planned(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if self._plan is None or self._plan[0] != epoch:
            source_N, target_N = self._rounded
            if self._seed is None:
                self._plan = (epoch, np.lexsort((target_N, source_N)), np.arange(len(self)))
            else:
                random = Draws(self._seed, epoch).epoch()
                order = np.lexsort((random.random(len(source_N)), target_N, source_N))
                self._plan = (epoch, order, random.permutation(len(self)))
        return self._plan[1], self._plan[2]


def token_pairs(split: SplitReader, pipeline: Pipeline, cache: Path) -> TokenPairs:
    """The split's pairs as ids, in its order, without those that do not fit into a segment.

    Made once per split digest, step and version of SentencePiece, and written to `cache`/tokens. Raises `ConfigError`
    where no pair is left.
    """
    step = tokenize_step(pipeline)
    key = {
        "split": split.digest,
        "step": step.model_dump(mode="json"),
        "pieces": digest_json(step.tokenizer.pieces),
        "sentencepiece": sentencepiece.__version__,
    }
    path = cache / "tokens" / f"{digest_json(key)}.npz"
    if not path.exists():
        with lock(path.with_suffix(".lock"), holder=f"the token cache '{path}'", timeout_s=_WAIT_S):
            if not path.exists():
                pairs = _tokenized(split, step)
                with atomic_file(path) as temporary, temporary.open("wb") as file:
                    np.savez(file, **pairs._asdict())
    with np.load(path, allow_pickle=False) as stored:
        return TokenPairs(*(stored[name] for name in TokenPairs._fields))


def tokenize_step(pipeline: Pipeline) -> TokenizeText:
    """The decoder of a pipeline of texts; raises `ConfigError` for another one."""
    if not isinstance(pipeline.decoder, TokenizeText):
        raise ConfigError(
            f"input kind {pipeline.decoder.input_kind} given; translation expects texts.",
            next_command="loopline train recipe=translation …",
        )
    return pipeline.decoder


def _tokenized(split: SplitReader, step: TokenizeText) -> TokenPairs:
    sources: list[Ids] = []
    targets: list[Ids] = []
    end = step.tokenizer.end_id
    for index in track(range(split.num_examples), f"tokenizing {split.name}"):
        try:
            source = step.whole(step(split.raw(index)))
        except InvalidExample:
            continue  # counted as left out
        target = np.array([*step.tokenizer.encode(str(split.targets[index])), end], dtype=np.int32)
        if len(source) <= step.segment_tokens and 1 < len(target) <= step.segment_tokens:
            sources.append(source)
            targets.append(target)
    if not sources:
        raise ConfigError(
            f"no pair of split '{split.name}' fits into input.segment_tokens={step.segment_tokens}; expected a larger "
            "number or shorter texts."
        )
    return TokenPairs(np.concatenate(sources), _offsets(sources), np.concatenate(targets), _offsets(targets))


def _offsets(parts: list[Ids]) -> NDArray[np.int64]:
    return np.cumsum([0, *map(len, parts)], dtype=np.int64)
