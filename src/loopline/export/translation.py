"""`export_translation`: a trained translator becomes a bundle of CTranslate2 models, or is refused where they differ.

N pairs of texts, T target tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from loopline.bundle import CARD_FILE, UNSEALED, list_files, pack_arrays, pack_reference, write_bundle
from loopline.core.errors import GateRefused, InputError
from loopline.core.progress import bar
from loopline.core.records import ModelBundle, Parity, Reference, Runtime, TensorSpec, TransformStep
from loopline.core.store import canonical_json
from loopline.export.assemble import DRIFT_FILE, REFERENCE_FILE, REFERENCE_TOLERANCE, BundleFacts
from loopline.export.card import model_card
from loopline.export.graph import export_token_graph
from loopline.networks.t5 import T5
from loopline.networks.t5_ctranslate2 import ctranslate2_files
from loopline.predictor.answer import TextAnswer
from loopline.predictor.ctranslate2 import TranslationEngine
from loopline.predictor.golden import GOLDEN_FILE, Golden, GoldenTexts
from loopline.predictor.onnx import OnnxEngine
from loopline.predictor.translation import (
    ENCODER_INPUT,
    ENCODER_OUTPUT,
    ENCODER_ROLE,
    OUTPUT_NAMES,
    ROLES,
    Translator,
    beam_search,
    embed_by,
)
from loopline.text_metrics import corpus_bleu
from loopline.transforms import build_pipeline
from loopline.transforms.text import BeamSearch, Ids, TokenizeText, batches_by_length, pad

NUM_GOLDEN = 32
NUM_PARITY = 64
NUM_BLEU = 1000
NUM_DRIFT = 2000
# Of a token's log probability: float32 sums in another order, over a vocabulary.
PARITY_TOLERANCE = 1e-3
# By how much a graph's BLEU may differ from its checkpoint's.
BLEU_TOLERANCE = 0.3
ENCODER_FILE = "encoder.onnx"
MINIMUM_RUNTIME = "4.6.0"
_BATCH_TOKENS = 2048


@dataclass(frozen=True)
class TranslationParts:
    """A network, the steps around it with the files that they name, and held-out pairs."""

    network: T5
    preprocess: tuple[TransformStep, ...]
    postprocess: tuple[TransformStep, ...]
    files: Mapping[str, bytes]
    # Raw texts that training did not see, with what they mean.
    raws: Sequence[bytes]
    references: Sequence[str]


def export_translation(parts: TranslationParts, facts: BundleFacts, *, bundles: Path) -> Path:
    """Converts a network and writes the bundle's folder into `bundles`; returns the folder.

    The first `NUM_GOLDEN` held-out texts become golden sentences, unless the facts bring simulated ones; `NUM_PARITY`
    prove every token's probability against the network, `NUM_BLEU` the BLEU of each graph against the network's own
    beam search, at most `NUM_DRIFT` become the drift reference. An `int8` graph that differs too much is left out.
    Raises `GateRefused` where the `float32` one does, and `InputError` where there is no held-out pair.
    """
    if not parts.raws:
        raise InputError("no held-out pair was given; expected at least one, better 64 or more.")
    decoder = _decoder(parts)
    with bar("Exporting", total=4) as advance:
        encoder = export_token_graph(_Encoder(parts.network), input_name=ENCODER_INPUT, output_name=ENCODER_OUTPUT)
        models = {role: ctranslate2_files(parts.network, decoder.tokenizer.pieces, quantization=role) for role in ROLES}
        translators: dict[str, Translator] = {
            role: _translator(model, encoder, decoder, parts) for role, model in models.items()
        }
        advance(1)
        parity = token_parity(parts.network, translators["float32"], parts.raws, parts.references)
        advance(1)
        scores = bleu_scores(parts.network, translators, parts.raws, parts.references)
        refuse_bleu(scores)
        # A graph that lost too much by quantization is left out; the metrics say how much it lost.
        kept = [role for role in ROLES if abs(scores[role] - scores["checkpoint"]) <= BLEU_TOLERANCE]
        models, translators = {role: models[role] for role in kept}, {role: translators[role] for role in kept}
        advance(1)
        files = {
            **{f"{role}/{name}": data for role, model in models.items() for name, data in model.items()},
            **parts.files,
            ENCODER_FILE: encoder,
            **_references(translators, parts, facts),
        }
        bundle = _record(parts, facts, files, parity)
        metrics = {f"{facts.held_out_split}/bleu_{name}": score for name, score in scores.items()}
        bundle = bundle.model_copy(update={"metrics": {**facts.metrics, **metrics}})
        files[CARD_FILE] = model_card(bundle).encode()
        folder = write_bundle(bundles, bundle.model_copy(update={"files": list_files(files)}), files)
        advance(1)
    return folder


def token_parity(network: T5, translator: Translator, raws: Sequence[bytes], references: Sequence[str]) -> Parity:
    """How far a graph's log probability of any reference token is from the network's; raises `GateRefused`."""
    decoder = translator.decoder
    sources = [decoder.whole(decoder(raw)).tolist() for raw in raws[:NUM_PARITY]]
    targets = [decoder.tokenizer.encode(text) for text in references[:NUM_PARITY]]
    given = translator.engine.token_scores(sources, targets)
    error = 0.0
    for source, target, scores in zip(sources, targets, given, strict=True):
        expected_T = _token_scores(network, source, [*target, decoder.tokenizer.end_id])
        error = max(error, float(np.abs(np.array(scores) - expected_T.numpy()).max()))
    if not error <= PARITY_TOLERANCE:
        raise GateRefused(
            f"the converted model's log probabilities differ from its checkpoint's by {error:.3g} on {len(sources)} "
            f"pairs; expected at most {PARITY_TOLERANCE:.3g}."
        )
    return Parity(num_inputs=len(sources), max_abs_error=error, tolerance=PARITY_TOLERANCE)


def bleu_scores(
    network: T5, translators: Mapping[str, Translator], raws: Sequence[bytes], references: Sequence[str]
) -> dict[str, float]:
    """BLEU of each translator by its role, and under `checkpoint` of the network's own search, on the same texts."""
    chosen = references[:NUM_BLEU]
    scores = {}
    for role, translator in translators.items():
        scores[role], _ = corpus_bleu([answer.text for answer in translator.predict_raw(raws[:NUM_BLEU])], chosen)
    first = next(iter(translators.values()))
    scores["checkpoint"], _ = corpus_bleu(_translations(network, first, raws[:NUM_BLEU]), chosen)
    return scores


def refuse_bleu(scores: Mapping[str, float], *, role: str = ROLES[0]) -> None:
    """Raises `GateRefused` where the BLEU of graph `role` is further from its checkpoint's than allowed."""
    if abs(scores[role] - scores["checkpoint"]) > BLEU_TOLERANCE:
        raise GateRefused(
            f"graph '{role}' scores {scores[role]:.2f} BLEU, its checkpoint {scores['checkpoint']:.2f}; expected a "
            f"difference of at most {BLEU_TOLERANCE:g}."
        )


class _Encoder(nn.Module):
    """The encoder alone, for the exporter."""

    def __init__(self, network: T5) -> None:
        super().__init__()
        self.network = network

    def forward(self, source_NS: Tensor) -> Tensor:
        return self.network.embed(source_NS)


def _decoder(parts: TranslationParts) -> TokenizeText:
    decoder = build_pipeline(parts.preprocess, parts.files).decoder
    if not isinstance(decoder, TokenizeText):
        raise InputError(f"preprocess of {decoder.input_kind} inputs given; expected one of texts.")
    return decoder


def _translator(
    model: Mapping[str, bytes], encoder: bytes, decoder: TokenizeText, parts: TranslationParts
) -> Translator:
    engine = TranslationEngine(model, decoder.tokenizer)
    return Translator(decoder, engine, embed_by(OnnxEngine(encoder)), beam_search(parts.postprocess))


@torch.inference_mode()
def _token_scores(network: T5, source: list[int], target: list[int]) -> Tensor:
    logits_1TV, _ = network.eval().cpu()(torch.tensor([source]), torch.tensor([target]))
    scores_T: Tensor = logits_1TV[0].log_softmax(dim=-1).gather(1, torch.tensor(target)[:, None])[:, 0]
    return scores_T


def _translations(network: T5, translator: Translator, raws: Sequence[bytes]) -> list[str]:
    """The texts in the network's own search, segment by segment as the translator does."""
    decoder, search = translator.decoder, translator.search
    texts = [[part for part in decoder.segments(decoder(raw)) if len(part) > 1] for raw in raws]
    segments = [part for text in texts for part in text]
    found: dict[int, str] = {}
    for batch in batches_by_length(segments, max_tokens=_BATCH_TOKENS):
        ids = _search(network, [segments[place] for place in batch], search)
        found |= dict(zip(batch, map(decoder.tokenizer.decode, ids), strict=True))
    sentences = iter([found[place] for place in range(len(segments))])
    return [" ".join(next(sentences) for _ in text) for text in texts]


def _search(network: T5, segments: Sequence[Ids], search: BeamSearch) -> list[list[int]]:
    source_NS = torch.from_numpy(pad(segments, pad_id=0))
    longest = search.max_length(source_NS.shape[1])
    return (
        network.eval()
        .cpu()
        .translate(source_NS, beam_size=search.beam_size, length_penalty=search.length_penalty, max_length=longest)
    )


def _references(translators: Mapping[str, Translator], parts: TranslationParts, facts: BundleFacts) -> dict[str, bytes]:
    """The files of golden sentences, of what they must give, and of what drift compares with."""
    raws = facts.simulated_raws[:NUM_GOLDEN] or parts.raws[:NUM_GOLDEN]
    answers = {role: translator.predict_raw(raws) for role, translator in translators.items()}
    golden = Golden(
        translations={
            role: GoldenTexts(
                texts=tuple(answer.text for answer in found), scores=tuple(float(answer.outputs[2]) for answer in found)
            )
            for role, found in answers.items()
        }
    )
    features, embedding = _columns(answers["float32"])
    outputs, drift = _columns(translators["float32"].predict_raw(parts.raws[:NUM_DRIFT]))
    return {
        GOLDEN_FILE: canonical_json(golden.model_dump(mode="json")),
        REFERENCE_FILE: pack_reference(raws, {"features": features, "embedding": embedding}),
        DRIFT_FILE: pack_arrays({"embedding": drift, "outputs": outputs}),
    }


def _columns(answers: Sequence[TextAnswer]) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([answer.outputs for answer in answers]), np.stack([answer.embedding for answer in answers])


def _record(parts: TranslationParts, facts: BundleFacts, files: Mapping[str, bytes], parity: Parity) -> ModelBundle:
    width = parts.network.projection_WD.shape[1]
    outputs = {"features": ("feature", len(OUTPUT_NAMES)), "embedding": ("dimension", width)}
    return ModelBundle(
        name=facts.name,
        digest=UNSEALED,
        task="translation",
        input_kind="text",
        inputs=(TensorSpec(name=ENCODER_INPUT, dtype="int64", axes=("batch", "token"), shape=(None, None)),),
        outputs=tuple(
            TensorSpec(name=name, dtype="float32", axes=("batch", axis), shape=(None, length))
            for name, (axis, length) in outputs.items()
        ),
        preprocess=build_pipeline(parts.preprocess, parts.files).steps,
        postprocess=parts.postprocess,
        graphs={
            **{role: path for role in ROLES if (path := f"{role}/model.bin") in files},
            ENCODER_ROLE: ENCODER_FILE,
        },
        run_id=facts.run_id,
        dataset=facts.dataset,
        metrics=facts.metrics,
        parity=parity,
        reference=Reference(
            inputs_file=REFERENCE_FILE,
            num_inputs=len(facts.simulated_raws[:NUM_GOLDEN] or parts.raws[:NUM_GOLDEN]),
            tolerance=REFERENCE_TOLERANCE,
            drift_file=DRIFT_FILE,
            drift_split=facts.held_out_split,
            num_drift=len(parts.raws[:NUM_DRIFT]),
            is_simulated=bool(facts.simulated_raws),
        ),
        runtime=Runtime(engine="ctranslate2", version=version("ctranslate2"), minimum_version=MINIMUM_RUNTIME),
        licence=facts.licence,
        files=list_files(files),
        created_at=facts.created_at,
    )
