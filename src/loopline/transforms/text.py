"""Texts to token ids and back, by a SentencePiece model that travels with the bundle. No torch.

A text becomes one int32 array: a segment per sentence, each ended by the end mark; a lone end mark is a line break.
Nobody can mistake the two, and no segment is longer than the network was trained for. L ids.

Source: Kudo and Richardson, SentencePiece, EMNLP 2018.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import sentencepiece
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, model_validator

from loopline.core.errors import ConfigError, IntegrityError, InvalidExample
from loopline.transforms.sentences import split_sentences
from loopline.transforms.step import Decode, Shape, Transform

# What separates words in SentencePiece's pieces.
_WORD_START = "▁"
# Controls of terminals and file formats; a tab and line ends are ordinary in texts.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_CLAUSE_ENDS = frozenset(",;:–—")
# Of a made-up text.
_NUM_SIMULATED_TOKENS = 12

Ids = NDArray[np.int32]


class Tokenizer:
    """A SentencePiece model with padding, end and unknown marks; thread-safe, picklable."""

    def __init__(self, model: bytes) -> None:
        """Loads a model; raises `IntegrityError` for bytes that are none, or one without the marks that T5 needs."""
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError:
            raise IntegrityError(f"{len(model):,} bytes given that are no SentencePiece model.") from None
        if not model or min(self.pad_id, self.end_id, self.unknown_id) < 0:
            raise IntegrityError("the SentencePiece model lacks a padding, end or unknown mark.")

    @property
    def num_pieces(self) -> int:
        """Ids go from 0 to this, exclusive."""
        return int(self._processor.get_piece_size())

    @property
    def pad_id(self) -> int:
        """Fills a batch up, and begins every translation."""
        return int(self._processor.pad_id())

    @property
    def end_id(self) -> int:
        """Ends a segment."""
        return int(self._processor.eos_id())

    @property
    def unknown_id(self) -> int:
        """Stands for whatever the model has no piece for."""
        return int(self._processor.unk_id())

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The piece of every id."""
        return tuple(self._processor.id_to_piece(list(range(self.num_pieces))))

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of every piece."""
        return {piece: index for index, piece in enumerate(self.pieces)}

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without marks; none for a text of white space."""
        return [int(index) for index in self._processor.encode(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; marks are left out."""
        marks = (self.pad_id, self.end_id, self.unknown_id)
        return str(self._processor.decode([int(index) for index in ids if index not in marks]))


class TokenizeText(Decode):
    """UTF-8 text to the ids of its sentences, by the SentencePiece model `file` of the bundle.

    Sentences longer than `segment_tokens` (with their marks) are cut at a clause or a word; a text beyond
    `max_bytes` or `max_tokens` is refused. `prefix` stands before every segment: T5 knows its task by one, such as
    `translate English to German: `.
    """

    input_kind: ClassVar[str] = "text"
    dtype: ClassVar[type[np.generic]] = np.int32
    is_ragged: ClassVar[bool] = True

    file: str = "tokenizer.model"
    prefix: str = ""
    max_bytes: int = Field(default=1 << 16, ge=1)
    max_tokens: int = Field(default=4096, ge=1)
    segment_tokens: int = Field(default=128, ge=16, le=1024)

    _tokenizer: Tokenizer | None = PrivateAttr(default=None)
    _prefix_ids: list[int] = PrivateAttr(default_factory=list)

    def bound(self, files: Mapping[str, bytes]) -> Self:
        """With the model that the files hold; raises `ConfigError` where they hold none of that name."""
        if self.file not in files:
            raise ConfigError(
                f"tokenize_text.file: '{self.file}' given; there is {', '.join(files) or 'no file'} beside the steps."
            )
        bound = self.model_copy()
        bound._tokenizer = Tokenizer(files[self.file])
        bound._prefix_ids = bound._tokenizer.encode(self.prefix)
        if len(bound._prefix_ids) > self.segment_tokens // 2:
            raise ConfigError(f"tokenize_text.prefix has {len(bound._prefix_ids)} tokens; expected a shorter one.")
        return bound

    @property
    def tokenizer(self) -> Tokenizer:
        """The model; only of a transform that was bound to its file."""
        if self._tokenizer is None:
            raise ConfigError("tokenize_text was not bound to its file; build the pipeline with the bundle's files.")
        return self._tokenizer

    @property
    def shape(self) -> Shape:
        """One axis of any length."""
        return (None,)

    def __call__(self, raw: bytes) -> Ids:
        """The ids of one text; raises `InvalidExample`, and nothing else, for whatever bytes."""
        if len(raw) > self.max_bytes:
            raise InvalidExample(f"{len(raw):,} bytes of text given; expected at most {self.max_bytes:,}.")
        try:
            return self._ids(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidExample(f"byte {error.start} is not UTF-8; expected a text in UTF-8.") from None

    def from_array(self, values: Any) -> Ids:
        """A text as a client sends it in JSON; raises `InvalidExample` for anything but a text."""
        if not isinstance(values, str):
            raise InvalidExample(f"{type(values).__name__} given; expected a text.")
        try:
            return self(values.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise InvalidExample(f"character {error.start} is half a surrogate pair; expected a text.") from None

    def simulate(self, shape: tuple[int, ...], rng: np.random.Generator) -> bytes:
        """A text of random pieces, about as long as `shape` says, or a dozen tokens."""
        first = 1 + max(self.tokenizer.pad_id, self.tokenizer.end_id, self.tokenizer.unknown_id)
        ids = rng.integers(first, self.tokenizer.num_pieces, shape[0] if shape else _NUM_SIMULATED_TOKENS)
        return (self.tokenizer.decode(ids.tolist()).strip() or "a").encode()

    def segments(self, ids: Ids) -> list[Ids]:
        """The segments of a decoded text with their end marks; one of a lone end mark is a line break."""
        return np.split(ids, np.flatnonzero(ids == self.tokenizer.end_id)[:-1] + 1)

    def whole(self, ids: Ids) -> Ids:
        """A decoded text as one segment, which is how a pair of texts is learnt: nobody knows which sentences match."""
        parts = [segment[len(self._prefix_ids) : -1] for segment in self.segments(ids)]
        return np.concatenate([np.array(self._prefix_ids, np.int32), *parts, ids[-1:]])

    def features(self, ids: Ids) -> tuple[int, float]:
        """How many tokens a decoded text has, without marks and prefixes, and which share of them is unknown."""
        own = self.whole(ids)[len(self._prefix_ids) : -1]
        return len(own), float((own == self.tokenizer.unknown_id).mean())

    def _ids(self, text: str) -> Ids:
        control = _CONTROL.search(text)
        if control is not None:
            raise InvalidExample(
                f"control character U+{ord(control[0]):04X} given at place {control.start()}; expected a plain text."
            )
        end = self.tokenizer.end_id
        ids: list[int] = []
        num_tokens = 0
        for line in text.strip().splitlines():
            if ids:
                ids.append(end)
            for sentence in split_sentences(line):
                tokens = self.tokenizer.encode(sentence)
                num_tokens += len(tokens)
                if num_tokens > self.max_tokens:
                    raise InvalidExample(f"the text has over {self.max_tokens:,} tokens; expected at most so many.")
                for part in self._parts(tokens):
                    ids += [*self._prefix_ids, *part, end]
        if not num_tokens:
            raise InvalidExample("the text is empty; expected at least one word.")
        return np.array(ids, dtype=np.int32)

    def _parts(self, tokens: list[int]) -> list[list[int]]:
        """A sentence in pieces that leave room for the prefix and the end mark."""
        room = self.segment_tokens - len(self._prefix_ids) - 1
        parts = []
        while len(tokens) > room:
            stop = self._cut(tokens, room)
            parts.append(tokens[:stop])
            tokens = tokens[stop:]
        return [*parts, tokens] if tokens else parts

    def _cut(self, tokens: list[int], room: int) -> int:
        """Where a sentence that is too long is cut: after a clause in the second half, else before a word."""
        pieces = self.tokenizer.pieces
        places = range(room, room // 2, -1)
        clauses = (place for place in places if pieces[tokens[place - 1]][-1] in _CLAUSE_ENDS)
        words = (place for place in places if pieces[tokens[place]].startswith(_WORD_START))
        return next(clauses, None) or next(words, None) or room


class BeamSearch(Transform):
    """How a translation is searched for; a bundle's postprocess carries it.

    Of `beam_size` hypotheses the one with the highest log probability / length^`length_penalty` wins. A translation is
    at most `max_ratio` times as long as its source, and ten tokens.
    """

    beam_size: int = Field(default=4, ge=1, le=32)
    length_penalty: float = Field(default=1.0, ge=0)
    max_ratio: float = Field(default=2.0, gt=0)

    def max_length(self, num_source_tokens: int) -> int:
        """The most tokens that a translation of so many may have."""
        return int(self.max_ratio * num_source_tokens) + 10

    @model_validator(mode="after")
    def _is_searched(self) -> Self:
        if self.beam_size == 1 and self.length_penalty != 1:
            raise ValueError("a length penalty chooses between hypotheses, of which beam_size 1 has one")
        return self


def batches_by_length(segments: Sequence[Sequence[int] | Ids], *, max_tokens: int) -> list[list[int]]:
    """The places of segments in batches of neighbours in length, each of at most `max_tokens` with its padding."""
    batches: list[list[int]] = []
    for place in sorted(range(len(segments)), key=lambda place: len(segments[place])):
        if batches and (len(batches[-1]) + 1) * len(segments[place]) <= max_tokens:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches


def pad(segments: Sequence[Sequence[int] | Ids], pad_id: int) -> NDArray[np.int64]:
    """Segments of different lengths as one matrix, filled up with padding."""
    ids_NL = np.full((len(segments), max(map(len, segments))), pad_id, dtype=np.int64)
    for row, segment in enumerate(segments):
        ids_NL[row, : len(segment)] = segment
    return ids_NL
