"""A run that learnt to translate: opened as its bundle will be, exported, and held against its bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from loopline.core.errors import ConfigError, InvalidExample
from loopline.core.records import Signature
from loopline.core.store import read_record
from loopline.networks import load_checkpoint
from loopline.networks.t5 import T5
from loopline.networks.t5_ctranslate2 import ctranslate2_files
from loopline.predictor import PredictorLike
from loopline.predictor.ctranslate2 import TranslationEngine
from loopline.predictor.translation import TranslationPredictor, Translator, beam_search
from loopline.subjects.references import run_files
from loopline.transforms import build_pipeline
from loopline.transforms.text import TokenizeText

if TYPE_CHECKING:
    from loopline.export import BundleFacts
    from loopline.snapshots import SplitReader


def open_translator(folder: Path) -> Translator:
    """The best checkpoint of a run as a translator: the same search, in CTranslate2, with torch for embeddings."""
    signature, network = _opened(folder)
    decoder = _decoder(folder, signature)
    files = ctranslate2_files(network, decoder.tokenizer.pieces, quantization="float32")

    def embed(ids_NS: NDArray[np.int64]) -> NDArray[np.float32]:
        with torch.inference_mode():
            embedding_ND: NDArray[np.float32] = network.embed(torch.from_numpy(ids_NS)).numpy()
        return embedding_ND

    return Translator(decoder, TranslationEngine(files, decoder.tokenizer), embed, beam_search(signature.postprocess))


def export_translator(folder: Path, held_out: SplitReader, facts: BundleFacts, *, bundles: Path) -> Path:
    """Exports the best checkpoint of a run; returns the bundle's folder. Raises as `export_translation` does."""
    from loopline.export.translation import TranslationParts, export_translation

    signature, network = _opened(folder)
    raws, references = _pairs(_decoder(folder, signature), held_out)
    parts = TranslationParts(
        network, signature.preprocess, signature.postprocess, run_files(folder, signature), raws, references
    )
    return export_translation(parts, facts, bundles=bundles)


def translation_check(folder: Path, held_out: SplitReader) -> Callable[[PredictorLike], str]:
    """Measures an open bundle against the run in `folder`, by the probability of tokens and by BLEU."""

    def check(predictor: PredictorLike) -> str:
        from loopline.export.translation import bleu_scores, refuse_bleu, token_parity

        if not isinstance(predictor, TranslationPredictor):
            raise ConfigError(f"bundle '{predictor.folder}' does not translate; its run does.")
        _, network = _opened(folder)
        raws, references = _pairs(predictor.translator.decoder, held_out)
        parity = token_parity(network, predictor.translator, raws, references)
        scores = bleu_scores(network, {predictor.role: predictor.translator}, raws, references)
        refuse_bleu(scores, role=predictor.role)
        return (
            f"log probabilities of tokens differ by at most {parity.max_abs_error:.2g} on {parity.num_inputs} pairs; "
            f"BLEU {scores[predictor.role]:.2f}, the checkpoint {scores['checkpoint']:.2f}"
        )

    return check


def _opened(folder: Path) -> tuple[Signature, T5]:
    network = load_checkpoint(folder)
    if not isinstance(network, T5):
        raise ConfigError(f"run '{folder.name}' translates with {type(network).__name__}; expected T5.")
    return read_record(Signature, folder / "signature.json"), network


def _decoder(folder: Path, signature: Signature) -> TokenizeText:
    decoder = build_pipeline(signature.preprocess, run_files(folder, signature)).decoder
    if not isinstance(decoder, TokenizeText):
        raise ConfigError(f"run '{folder.name}' decodes {decoder.input_kind} inputs; expected texts.")
    return decoder


def _pairs(decoder: TokenizeText, split: SplitReader) -> tuple[list[bytes], list[str]]:
    """The pairs of a split whose source the decoder takes: training left the others out, too."""
    raws, references = [], []
    for raw, target in zip(split.raw_many(range(split.num_examples)), split.targets, strict=True):
        try:
            decoder(raw)
        except InvalidExample:
            continue
        raws.append(raw)
        references.append(str(target))
    return raws, references
