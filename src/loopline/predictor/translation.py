"""A translation bundle, opened: split into sentences, translate in batches of tokens, join.

N examples, M segments of a text, S tokens of a segment, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from loopline.bundle import read_file, read_reference
from loopline.core.errors import ConfigError, IntegrityError, InvalidExample, LooplineError, SkewError
from loopline.core.records import ModelBundle, TransformStep
from loopline.core.validation import validated
from loopline.predictor.agreement import disagreement
from loopline.predictor.answer import TextAnswer
from loopline.predictor.ctranslate2 import Translation, TranslationEngine
from loopline.predictor.golden import GOLDEN_FILE, check_golden, read_golden
from loopline.predictor.onnx import OnnxEngine
from loopline.predictor.predictor import step_files
from loopline.transforms import build_pipeline
from loopline.transforms.text import BeamSearch, Ids, TokenizeText, batches_by_length, pad

# The graphs of a bundle: the translator as its weights are stored, and the encoder alone, for embeddings.
ROLES: tuple[Literal["float32"], Literal["int8"]] = ("float32", "int8")
ENCODER_ROLE = "encoder"
ENCODER_INPUT, ENCODER_OUTPUT = "ids", "text_embedding"
# Features of a question and its answer, which drift looks at beside the embedding.
OUTPUT_NAMES = ("num_tokens", "unknown_share", "score")
SEARCH_STEP = "beam_search"
# Files that stand beside `model.bin`.
MODEL_FILES = ("model.bin", "config.json", "shared_vocabulary.json")
# The encoder's activations of a batch live in memory together.
_MAX_BATCH_TOKENS = 4096

Embed = Callable[[NDArray[np.int64]], NDArray[np.float32]]


class Translator:
    """Texts to answers by a decoder, a translation engine and an encoder; thread-safe.

    `embed` takes padded ids (N, S) and gives the encoder's embedding (N, D) of each row.
    """

    def __init__(self, decoder: TokenizeText, engine: TranslationEngine, embed: Embed, search: BeamSearch) -> None:
        self.decoder = decoder
        self.engine = engine
        self.search = search
        self.output_names = OUTPUT_NAMES
        self._embed = embed

    def predict(self, samples: Sequence[Ids]) -> list[TextAnswer]:
        """Decoded texts to answers in their order: the sentences of all go through the engine together.

        Raises `InvalidExample` for an array that the decoder did not make.
        """
        for ids in samples:
            self._refuse_stranger(ids)
        texts = [self.decoder.segments(ids) for ids in samples]
        # One of a lone end mark is a line break; there is nothing to translate in it.
        flat = [segment for text in texts for segment in text if len(segment) > 1]
        translations = iter(self.engine.translate([segment.tolist() for segment in flat], self.search))
        embeddings = iter(self._embeddings(flat))
        answers = []
        for ids, text in zip(samples, texts, strict=True):
            parts = [next(translations) if len(segment) > 1 else None for segment in text]
            embedding_MD = np.stack([next(embeddings) for part in parts if part is not None])
            answers.append(self._answer(ids, parts, embedding_MD.mean(axis=0)))
        return answers

    def predict_raw(self, raws: Sequence[bytes]) -> list[TextAnswer]:
        """Texts' bytes to answers in their order; raises `InvalidExample` for the first that is none."""
        return self.predict([self.decoder(raw) for raw in raws])

    def _refuse_stranger(self, ids: Ids) -> None:
        tokenizer = self.decoder.tokenizer
        fits = ids.ndim == 1 and ids.dtype == np.int32 and len(ids) > 1 and ids[-1] == tokenizer.end_id
        if not fits or ids.min() < 0 or ids.max() >= tokenizer.num_pieces:
            raise InvalidExample(f"an array {ids.dtype}{list(ids.shape)} given; expected a text's token ids.")

    def _answer(self, ids: Ids, parts: Sequence[Translation | None], embedding_D: NDArray[np.float32]) -> TextAnswer:
        num_tokens, unknown_share = self.decoder.features(ids)
        found = [part for part in parts if part is not None]
        # The end mark counts: its probability is in the mean.
        score = np.average([part.score for part in found], weights=[len(part.ids) + 1 for part in found])
        text = " ".join("\n" if part is None else self.decoder.tokenizer.decode(part.ids) for part in parts)
        outputs_K = np.array([num_tokens, unknown_share, score], dtype=np.float32)
        return TextAnswer(text.replace(" \n", "\n").replace("\n ", "\n"), outputs_K, embedding_D)

    def _embeddings(self, segments: Sequence[Ids]) -> list[NDArray[np.float32]]:
        found: dict[int, NDArray[np.float32]] = {}
        for batch in batches_by_length(segments, max_tokens=_MAX_BATCH_TOKENS):
            ids_NS = pad([segments[index] for index in batch], self.decoder.tokenizer.pad_id)
            found |= dict(zip(batch, self._embed(ids_NS), strict=True))
        return [found[index] for index in range(len(segments))]


class TranslationPredictor:
    """An open bundle of a translator; every method is thread-safe."""

    @classmethod
    def open(
        cls, folder: Path, bundle: ModelBundle, *, num_threads: int = 0, role: str | None = None
    ) -> TranslationPredictor:
        """Opens a bundle that `read_bundle` checked; `role` chooses the graph (default: the first that it has)."""
        role = role or next((known for known in ROLES if known in bundle.graphs), ROLES[0])
        missing = [name for name in (role, ENCODER_ROLE) if name not in bundle.graphs]
        if missing:
            raise ConfigError(f"bundle '{folder}' has no graph '{missing[0]}'; it has: {', '.join(bundle.graphs)}.")
        decoder = build_pipeline(bundle.preprocess, step_files(folder, bundle)).decoder
        if not isinstance(decoder, TokenizeText):
            raise IntegrityError(f"the bundle translates; its preprocess decodes {decoder.input_kind} inputs.")
        model = PurePosixPath(bundle.graphs[role]).parent
        files = {name: read_file(folder, bundle, (model / name).as_posix()) for name in MODEL_FILES}
        engine = TranslationEngine(files, decoder.tokenizer, num_threads=num_threads)
        encoder = OnnxEngine(read_file(folder, bundle, bundle.graphs[ENCODER_ROLE]), num_threads=num_threads)
        translator = Translator(decoder, engine, embed_by(encoder), beam_search(bundle.postprocess))
        return cls(bundle, folder, translator, role)

    def __init__(self, bundle: ModelBundle, folder: Path, translator: Translator, role: str) -> None:
        """Takes a bundle that `read_bundle` checked, with what its graph `role` and its encoder were opened to."""
        self.bundle = bundle
        self.folder = folder
        self.translator = translator
        self.role = role
        self.output_names = translator.output_names
        self.is_verified = False

    def decode(self, raw: bytes) -> Ids:
        """One text's bytes to ids; raises `InvalidExample`, and nothing else."""
        return self.translator.decoder(raw)

    def from_array(self, values: Any) -> Ids:
        """A text of a JSON request to ids; raises `InvalidExample`, and nothing else."""
        return self.translator.decoder.from_array(values)

    def join(self, files: Sequence[tuple[str, bytes]]) -> bytes:
        """The bytes of the one file that came; raises `InvalidExample` for several."""
        return self.translator.decoder.join(files)

    def predict(self, samples: Sequence[Ids]) -> list[TextAnswer]:
        """Decoded texts to answers in their order; raises `InvalidExample` for what `decode` did not make."""
        return self.translator.predict(samples)

    def predict_raw(self, raws: Sequence[bytes]) -> list[TextAnswer]:
        """Texts' bytes to answers in their order; raises `InvalidExample` for the first that is none."""
        return self.translator.predict_raw(raws)

    def verify(self, *, part: int = 0, num_parts: int = 1) -> None:
        """Translates the golden sentences as if they came from outside; whichever part is asked for, all of them.

        So many of them may change, which a part cannot tell. Raises `SkewError` where that fails, where more of them
        change than the bundle allows, or where lengths, scores or embeddings differ by more than its tolerances.
        """
        raws, expected = read_reference(self.folder, self.bundle)
        golden = read_golden(read_file(self.folder, self.bundle, GOLDEN_FILE), origin=GOLDEN_FILE)
        try:
            answers = self.predict_raw(raws)
        except LooplineError as error:
            raise SkewError(f"bundle '{self.folder}' cannot translate its golden sentences: {error}") from error
        features_NK = np.stack([answer.outputs for answer in answers])
        check_golden(golden, self.role, [answer.text for answer in answers], features_NK[:, 2].tolist())
        actual = {"features": features_NK[:, :2], "embedding": np.stack([answer.embedding for answer in answers])}
        wanted = {"features": expected["features"][:, :2], "embedding": expected["embedding"]}
        worst, tolerance = disagreement(actual, wanted), self.bundle.reference.tolerance
        if not worst <= tolerance:
            raise SkewError(
                f"bundle '{self.folder}' does not reproduce the lengths and embeddings of its {len(raws)} golden "
                f"sentences: they differ by {worst:.3g} (tolerance {tolerance:.3g})."
            )
        self.is_verified = True


def embed_by(encoder: OnnxEngine) -> Embed:
    """The embeddings that a graph of the encoder gives."""
    return lambda ids_NS: encoder.run({ENCODER_INPUT: ids_NS}, [ENCODER_OUTPUT])[ENCODER_OUTPUT]


def beam_search(postprocess: Sequence[TransformStep]) -> BeamSearch:
    """How a postprocess says that translations are searched for; raises `IntegrityError` where it says nothing."""
    if [step.name for step in postprocess] != [SEARCH_STEP]:
        names = ", ".join(step.name for step in postprocess) or "none"
        raise IntegrityError(f"postprocess {names} given; expected {SEARCH_STEP}.")
    return validated(BeamSearch, postprocess[0].params, where=SEARCH_STEP)
