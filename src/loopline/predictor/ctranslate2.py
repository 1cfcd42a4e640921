"""The engine `ctranslate2`: a model in memory that translates token ids, on the CPU.

N segments, one list of ids each, ended by the end mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import ctranslate2

from loopline.core.errors import IntegrityError
from loopline.transforms.text import BeamSearch, Tokenizer, batches_by_length

# A batch's tokens are computed together: past some thousands a larger batch gains nothing on a CPU.
_MAX_BATCH_TOKENS = 2048


class Translation(NamedTuple):
    """What one segment became: ids without the end mark, and the mean log probability of a token, the mark included."""

    ids: list[int]
    score: float


class TranslationEngine:
    """Translates batches of segments; thread-safe.

    The model comes as bytes, so that it is the one whose digests were checked.
    """

    def __init__(
        self, files: Mapping[str, bytes], tokenizer: Tokenizer, *, num_threads: int = 0, compute_type: str = "default"
    ) -> None:
        """Loads a model's files by name; `num_threads` 0 takes one per core. Raises `IntegrityError` for another one.

        `default` computes as the weights are stored.
        """
        self._tokenizer = tokenizer
        try:
            self._translator = ctranslate2.Translator(
                "bundle",
                device="cpu",
                compute_type=compute_type,
                inter_threads=1,
                intra_threads=num_threads,
                files=dict(files),
            )
        except (RuntimeError, ValueError) as error:
            raise IntegrityError(f"ctranslate2 {ctranslate2.__version__} cannot load the model: {error}") from error

    @property
    def compute_type(self) -> str:
        """What the model computes in, as `float32` or `int8_float32`."""
        return str(self._translator.compute_type)

    def translate(self, segments: Sequence[Sequence[int]], search: BeamSearch) -> list[Translation]:
        """The translations of some segments in their order, sorted by length into batches of tokens."""
        pieces, ids = self._tokenizer.pieces, self._tokenizer.ids
        found: dict[int, Translation] = {}
        for batch in batches_by_length(segments, max_tokens=_MAX_BATCH_TOKENS):
            results = self._translator.translate_batch(
                [[pieces[token] for token in segments[index]] for index in batch],
                beam_size=search.beam_size,
                length_penalty=search.length_penalty,
                max_decoding_length=search.max_length(max(len(segments[index]) for index in batch)),
                max_input_length=0,
                return_scores=True,
                disable_unk=True,
                return_end_token=True,
            )
            for index, result in zip(batch, results, strict=True):
                tokens = [ids[piece] for piece in result.hypotheses[0]]
                score = _mean_score(result, len(tokens), search)
                found[index] = Translation([token for token in tokens if token != self._tokenizer.end_id], score)
        return [found[index] for index in range(len(segments))]

    def token_scores(self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> list[list[float]]:
        """The log probability of each target token and of the end after them, to hold against a checkpoint's."""
        pieces = self._tokenizer.pieces
        results = self._translator.score_batch(
            [[pieces[token] for token in source] for source in sources],
            [[pieces[token] for token in target] for target in targets],
            max_input_length=0,
        )
        return [[float(value) for value in result.log_probs] for result in results]


def _mean_score(result: ctranslate2.TranslationResult, num_tokens: int, search: BeamSearch) -> float:
    """CTranslate2 gives the sum of log probabilities / length^penalty; a mean can be compared between searches."""
    return float(result.scores[0] * max(num_tokens, 1) ** (search.length_penalty - 1))
