"""`requantize_translation`: a translator's bundle becomes one whose weights are int8, without the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from loopline.bundle import CARD_FILE, UNSEALED, list_files, pack_arrays, pack_reference, read_file, read_reference
from loopline.bundle import write_bundle as write
from loopline.core.records import Derivation, ModelBundle, Parity
from loopline.core.store import canonical_json
from loopline.export.assemble import DRIFT_FILE, REFERENCE_FILE
from loopline.export.card import model_card
from loopline.predictor.answer import TextAnswer
from loopline.predictor.ctranslate2 import TranslationEngine
from loopline.predictor.golden import GOLDEN_FILE, Golden, GoldenTexts
from loopline.predictor.onnx import OnnxEngine
from loopline.predictor.translation import ENCODER_ROLE, MODEL_FILES, TranslationPredictor, Translator, embed_by

ROLE = "int8"
# A processor that rounds otherwise may be off by more than this one was.
_TOLERANCE_FACTOR = 1.5


def requantize_translation(
    parent: TranslationPredictor,
    model: Mapping[str, bytes],
    drift_raws: Sequence[bytes],
    bundles: Path,
    *,
    derivation: Derivation | None = None,
    metrics: Mapping[str, float] | None = None,
) -> Path:
    """Writes the parent with `model` (the files of a CTranslate2 model) as its one graph; returns the bundle's folder.

    Golden sentences and drift reference are computed anew with it. Parity is how far the log probability of any token
    of the parent's own translations moved.
    """
    bundle, folder = parent.bundle, parent.folder
    encoder = OnnxEngine(read_file(folder, bundle, bundle.graphs[ENCODER_ROLE]))
    old = parent.translator
    engine = TranslationEngine(model, old.decoder.tokenizer)
    translator = Translator(old.decoder, engine, embed_by(encoder), old.search)
    raws, _ = read_reference(folder, bundle)
    answers = translator.predict_raw(raws)
    features, embedding = _columns(answers)
    outputs, drift = _columns(translator.predict_raw(drift_raws))
    kept = {path for path in bundle.files if "/" not in path} - {CARD_FILE, GOLDEN_FILE, REFERENCE_FILE, DRIFT_FILE}
    files = {
        **{path: read_file(folder, bundle, path) for path in kept},
        **{f"{ROLE}/{name}": model[name] for name in MODEL_FILES},
        GOLDEN_FILE: canonical_json(_golden(answers).model_dump(mode="json")),
        REFERENCE_FILE: pack_reference(raws, {"features": features, "embedding": embedding}),
        DRIFT_FILE: pack_arrays({"embedding": drift, "outputs": outputs}),
    }
    changes = {
        "digest": UNSEALED,
        "parent": bundle.digest,
        "derivation": derivation,
        "graphs": {ROLE: f"{ROLE}/{MODEL_FILES[0]}", ENCODER_ROLE: bundle.graphs[ENCODER_ROLE]},
        "metrics": dict(metrics or {}),
        "parity": _parity(parent, translator, raws),
        "reference": bundle.reference.model_copy(update={"num_drift": len(drift_raws)}),
        "files": list_files(files),
    }
    made = ModelBundle.model_validate({**dict(bundle), **changes})
    files[CARD_FILE] = model_card(made).encode()
    return write(bundles, made.model_copy(update={"files": list_files(files)}), files)


def _golden(answers: Sequence[TextAnswer]) -> Golden:
    texts = tuple(answer.text for answer in answers)
    scores = tuple(float(answer.outputs[2]) for answer in answers)
    return Golden(translations={ROLE: GoldenTexts(texts=texts, scores=scores)})


def _parity(parent: TranslationPredictor, translator: Translator, raws: Sequence[bytes]) -> Parity:
    decoder = translator.decoder
    sources = [decoder.whole(decoder(raw)).tolist() for raw in raws]
    targets = [decoder.tokenizer.encode(answer.text) for answer in parent.predict_raw(raws)]
    scores = [each.token_scores(sources, targets) for each in (parent.translator.engine, translator.engine)]
    pairs = zip(*scores, strict=True)
    error = max(float(np.abs(np.array(before) - np.array(after)).max(initial=0.0)) for before, after in pairs)
    return Parity(num_inputs=len(raws), max_abs_error=error, tolerance=max(1e-3, _TOLERANCE_FACTOR * error))


def _columns(answers: Sequence[TextAnswer]) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([answer.outputs for answer in answers]), np.stack([answer.embedding for answer in answers])
