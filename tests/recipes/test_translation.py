"""A made-up language around the loop: every word has one counterpart, so that a tiny T5 learns it in seconds."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import loopline.data
from loopline import loop
from loopline.bundle import find_bundle, read_bundle
from loopline.core.errors import ConfigError, InvalidExample, SkewError
from loopline.core.workspace import Workspace
from loopline.data import Columns, Options
from loopline.delivery import optimize
from loopline.networks import read_checkpoint
from loopline.optimization import OptimizeSettings
from loopline.predictor.golden import GOLDEN_FILE, check_golden, read_golden
from loopline.predictor.translation import OUTPUT_NAMES, TranslationPredictor
from loopline.runs import find_run
from loopline.text_metrics import corpus_bleu
from loopline.training.resume_proof import weights_digest

NOUNS = {"dog": "hundo", "cat": "katzu", "boy": "jungo", "girl": "madu", "ball": "balo", "tree": "baumo"}
VERBS = {"sees": "siet", "holds": "helt", "likes": "mogt", "finds": "findet"}
ADJECTIVES = {"red": "rota", "old": "alta", "small": "klena", "big": "grosa"}
RECIPE = (
    "recipe=translation",
    "model.width=32",
    "model.num_heads=4",
    "model.feed_forward=64",
    "model.encoder_layers=1",
    "model.decoder_layers=1",
    "model.dropout=0",
    "input.num_pieces=120",
    "data.batch_size=200",
    "task.label_smoothing=0.05",
    "trainer.max_epochs=15",
    "trainer.average_epochs=2",
    "optimizer.lr=0.01",
)


def sentence(random: np.random.Generator) -> tuple[str, str]:
    """`The red dog sees a big tree.` and what it means."""
    (first, eins), (second, zwei) = (list(NOUNS.items())[index] for index in random.integers(0, len(NOUNS), 2))
    verb, tut = list(VERBS.items())[random.integers(0, len(VERBS))]
    (one, uno), (two, duo) = (list(ADJECTIVES.items())[index] for index in random.integers(0, len(ADJECTIVES), 2))
    return f"The {one} {first} {verb} a {two} {second}.", f"Da {uno} {eins} {tut} un {duo} {zwei}."


@pytest.fixture
def corpus(workspace: Workspace, tmp_path: Path) -> None:
    """The snapshot `toy`: 400 pairs as parallel files, some of them packed."""
    random = np.random.default_rng(0)
    folder = tmp_path / "toy"
    folder.mkdir()
    for split, num_pairs in (("train", 400), ("val", 30), ("test", 30)):
        pairs = [sentence(random) for _ in range(num_pairs)]
        (folder / f"{split}.en").write_text("".join(f"{source}\n" for source, _ in pairs), encoding="utf-8")
        meant = "".join(f"{target}\n" for _, target in pairs).encode()
        (folder / f"{split}.de.gz").write_bytes(gzip.compress(meant))
    columns = Columns(input="en", target="de")
    loopline.data.snapshot(
        f"parallel:{folder}", name="toy", task="translation", options=Options(columns=columns), workspace=workspace
    )


@pytest.mark.slow
def test_no_sentence_leaves_home(
    corpus: None, workspace: Workspace, tmp_path: Path, walk: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Of confidential pairs no sentence stands in a run, bundle, log of answers, page or message."""
    caplog.set_level(logging.INFO)
    options = Options(columns=Columns(input="en", target="de"), confidential=True)
    folder = tmp_path / "toy"
    loopline.data.snapshot(f"parallel:{folder}", name="quiet", task="translation", options=options, workspace=workspace)
    walked = walk("quiet", (*RECIPE, "trainer.max_epochs=2", "tracking=mlflow"))
    assert walked.bundle.reference.is_simulated
    sentences = [sentence.encode() for pair in _pairs() for sentence in pair]
    home = (workspace.root / "data", workspace.cache)
    paths = [path for path in workspace.root.rglob("*") if path.is_file() and not path.is_relative_to(home[0])]
    left = [path for path in paths if not path.is_relative_to(home[1])]
    assert len(left) > 30
    said = [walked.page, *(record.getMessage() for record in caplog.records)]
    for content in (*(path.read_bytes() for path in left), "\n".join(said).encode()):
        assert not any(sentence in content for sentence in sentences)


@pytest.fixture
def walked(corpus: None, walk: Callable[..., Any]) -> Any:
    return walk("toy", RECIPE)


def test_walks_around_the_loop(walked: Any, workspace: Workspace) -> None:
    """Train, evaluate, export, verify, serve and drift; then everything that a translation bundle promises."""
    _check_scores(walked, workspace)
    _check_answers(walked)
    assert walked.drift.num_current >= 30
    predictor = loop.load("toy@champion", workspace=workspace)
    assert isinstance(predictor, TranslationPredictor)
    _check_texts(predictor)
    _check_golden(predictor)
    _check_optimized(walked, workspace)


def _check_optimized(walked: Any, workspace: Workspace) -> None:
    """Weights of eight bits make a bundle of their own, with golden sentences and references of its own."""
    # What it loses on so small a network, and whether it is faster on a busy machine, is not what is asked here.
    settings = OptimizeSettings(max_drop=100, min_speedup=0, rounds=1, round_s=0.01)
    found = optimize(walked.bundle, settings, workspace=workspace)
    assert found.chosen == "ctranslate2-int8"
    before, after = (each.num_bytes or 0 for each in found.candidates)
    assert after < before
    bundle = read_bundle(find_bundle(found.bundle or "", workspace))
    assert bundle.graphs.keys() == {"int8", "encoder"}
    assert bundle.parent == walked.bundle.digest
    checks = loop.verify_bundle(bundle, workspace=workspace)
    assert all(check.passed for check in checks), checks
    predictor = loop.load(bundle, workspace=workspace)
    assert isinstance(predictor, TranslationPredictor)
    assert predictor.translator.engine.compute_type.startswith("int8")


def _check_scores(walked: Any, workspace: Workspace) -> None:
    run, bundle = walked.run, walked.bundle
    assert run.metrics["validation/bleu"] > 50
    assert 0 < run.metrics["validation/chrf"] <= 100
    signature = (workspace.runs / run.run_id / "sacrebleu.txt").read_text()
    assert "tok:13a" in signature
    # What was measured at export: both graphs against the checkpoint's own search.
    checkpoint = bundle.metrics["validation/bleu_checkpoint"]
    assert bundle.metrics["validation/bleu_float32"] == pytest.approx(checkpoint, abs=0.3)
    # The one of whole numbers is there only where it lost nothing; what it scored is there in any case.
    is_as_good = abs(bundle.metrics["validation/bleu_int8"] - checkpoint) <= 0.3
    assert ("int8" in bundle.graphs) == is_as_good
    assert bundle.parity.max_abs_error < 1e-3
    # The checkpoint and the bundle are judged alike.
    assert walked.evaluation.metrics["bleu"].value == pytest.approx(walked.judged_bundle.metrics["bleu"].value, abs=0.3)


def _check_answers(walked: Any) -> None:
    references = dict(_pairs())
    own = [answer.text for answer in walked.own]
    wanted = [references[raw.decode()] for raw in walked.raws]
    assert corpus_bleu(own, wanted)[0] > 50
    assert [answer.outputs.shape for answer in walked.own] == [(len(OUTPUT_NAMES),)] * len(walked.own)
    for answer, raw in zip(walked.own, walked.raws, strict=True):
        num_tokens, unknown_share, score = answer.outputs
        assert num_tokens >= len(raw.split())
        assert unknown_share == 0
        assert score < 0


def _pairs() -> list[tuple[str, str]]:
    random = np.random.default_rng(0)
    return [sentence(random) for _ in range(460)]


def _check_texts(predictor: TranslationPredictor) -> None:
    """Sentences one by one, lines kept; and what is no text is refused."""
    one, two = "The red dog sees a big tree.", "The old cat likes a small ball."
    texts = (one, two, f"{one} {two}", f"{one}\n\n{two}")
    answers = predictor.predict([predictor.from_array(text) for text in texts])
    first, second, both, lines = (answer.text for answer in answers)
    assert both == f"{first} {second}"
    assert lines == f"{first}\n\n{second}"
    long = predictor.predict([predictor.from_array(" ".join([one, two] * 40))])[0]
    assert long.text == " ".join([first, second] * 40)
    (emoji,) = predictor.predict_raw(["The red 😀 sees a dog.".encode()])
    assert emoji.outputs[1] > 0
    for bad in (b"", b" \n ", b"\xff\xfe", b"bell \x07", b"a" * 1_000_000, "😀".encode() * 250_000):
        with pytest.raises(InvalidExample):
            predictor.decode(bad)
    for ids in ([5, 6], [100_000, 1], [-1, 1], [1]):
        wrong = np.array(ids, np.int32)
        with pytest.raises(InvalidExample, match="expected a text's token ids"):
            predictor.predict([wrong])


def _check_golden(predictor: TranslationPredictor) -> None:
    """Every graph reproduces its golden sentences; other sentences are told from them."""
    predictor.verify()
    if "int8" in predictor.bundle.graphs:
        int8 = TranslationPredictor.open(predictor.folder, predictor.bundle, num_threads=1, role="int8")
        int8.verify()
        assert int8.translator.engine.compute_type.startswith("int8")
    with pytest.raises(ConfigError, match="has no graph 'int4'; it has: "):
        TranslationPredictor.open(predictor.folder, predictor.bundle, role="int4")
    golden = read_golden((predictor.folder / GOLDEN_FILE).read_bytes(), origin=GOLDEN_FILE)
    kept = golden.translations["float32"]
    check_golden(golden, "float32", kept.texts, kept.scores)
    with pytest.raises(SkewError, match=r"scores of the others differ by 0\.05"):
        check_golden(golden, "float32", kept.texts, [score - 0.05 for score in kept.scores])
    with pytest.raises(SkewError, match=r"are translated differently by graph 'float32' \(allowed: 10%\)"):
        check_golden(golden, "float32", [text + "!" for text in kept.texts], kept.scores)


@pytest.mark.usefixtures("corpus")
def test_a_run_resumes_to_the_bit(workspace: Workspace, stop_at: Callable[[int], None]) -> None:
    """Stopped in mid-epoch, between two steps of added gradients, and resumed: the weights of one left alone."""
    shorter = ("data.max_examples=200", "trainer.max_epochs=3", "trainer.accumulate_grad_batches=2", "tracking=none")
    alone = loop.train([*RECIPE, "data.name=toy", *shorter], workspace=workspace)
    stop_at(3)
    with pytest.raises(KeyboardInterrupt):
        loop.train([*RECIPE, "data.name=toy", *shorter], workspace=workspace)
    stopped = find_run("latest", workspace)
    last = workspace.runs / stopped.run_id / "checkpoints" / "last.ckpt"
    assert 0 < read_checkpoint(last)["global_step"] < alone.num_steps
    stop_at(10_000)
    resumed = loop.train(resume=stopped.run_id, workspace=workspace)
    assert resumed.metrics == alone.metrics
    assert weights_digest(last) == weights_digest(workspace.runs / alone.run_id / "checkpoints" / "last.ckpt")
