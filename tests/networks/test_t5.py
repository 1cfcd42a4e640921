"""T5: padding changes nothing, CTranslate2 says the same, a checkpoint's weights come in whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from loopline.core.errors import ConfigError, InputError, IntegrityError
from loopline.networks.t5 import T5, T5Config, checkpoint_file
from loopline.networks.t5_ctranslate2 import ctranslate2_files
from loopline.predictor.ctranslate2 import TranslationEngine
from loopline.training.text_input import train_tokenizer
from loopline.transforms.text import BeamSearch, Tokenizer

SMALL = T5Config(width=32, num_heads=4, feed_forward=48, encoder_layers=2, decoder_layers=3, dropout=0.0)
TEXTS = ["two men are outside", "a girl climbs", "zwei männer sind draußen", "ein mädchen klettert"] * 5


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(train_tokenizer(iter(TEXTS), 60, algorithm="unigram"))


@pytest.fixture
def network(tokenizer: Tokenizer) -> T5:
    torch.manual_seed(0)
    return SMALL.build(input_shape=(), num_outputs=tokenizer.num_pieces).eval()


def test_padding_changes_nothing(network: T5) -> None:
    source_NS, target_NT = torch.tensor([[5, 6, 7, 1], [8, 1, 0, 0]]), torch.tensor([[9, 10, 1], [11, 1, 0]])
    logits_NTV, embedding_ND = network(source_NS, target_NT)
    alone_NTV, alone_ND = network(source_NS[1:, :2], target_NT[1:, :2])
    assert logits_NTV.shape[:2] == (2, 3)
    torch.testing.assert_close(logits_NTV[1:, :2], alone_NTV)
    torch.testing.assert_close(embedding_ND[1:], alone_ND)
    torch.testing.assert_close(network.embed(source_NS), embedding_ND)


def test_a_token_knows_only_those_before_it(network: T5) -> None:
    source_NS = torch.tensor([[5, 6, 7, 1]])
    one, _ = network(source_NS, torch.tensor([[9, 10, 11, 1]]))
    other, _ = network(source_NS, torch.tensor([[9, 10, 20, 1]]))
    torch.testing.assert_close(one[:, :3], other[:, :3])
    assert not torch.allclose(one[:, 3], other[:, 3])


def test_a_wide_encoder_is_projected_alike_in_every_run() -> None:
    config = SMALL.model_copy(update={"width": 192, "num_heads": 6})
    networks = [config.build(input_shape=(), num_outputs=20) for _ in range(2)]
    assert networks[0].projection_WD.shape == (192, 128)
    assert torch.equal(networks[0].projection_WD, networks[1].projection_WD)
    assert len(networks[0].layers()) == 1 + 2 + 3


@pytest.mark.parametrize("config", [SMALL, SMALL.model_copy(update={"width": 144, "num_heads": 3})])
def test_ctranslate2_gives_every_token_the_same_probability(config: T5Config, tokenizer: Tokenizer) -> None:
    torch.manual_seed(1)
    network = config.build(input_shape=(), num_outputs=tokenizer.num_pieces).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    files = {name: ctranslate2_files(network, tokenizer.pieces, quantization=name) for name in ("float32", "int8")}
    assert len(files["int8"]["model.bin"]) < 0.5 * len(files["float32"]["model.bin"])
    # Converting leaves the network as it is.
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    engine = TranslationEngine(files["float32"], tokenizer, num_threads=1)
    sources = [[*tokenizer.encode(text), tokenizer.end_id] for text in ("two girls", "a man climbs outside " * 8)]
    targets = [tokenizer.encode(text) for text in ("zwei mädchen", "ein mann klettert draußen " * 9)]
    for source, target, scores in zip(sources, targets, engine.token_scores(sources, targets), strict=True):
        whole = torch.tensor([[*target, tokenizer.end_id]])
        with torch.inference_mode():
            logits_1TV, _ = network(torch.tensor([source]), whole)
        expected_T = logits_1TV[0].log_softmax(dim=-1).gather(1, whole[0][:, None])[:, 0]
        np.testing.assert_allclose(scores, expected_T.numpy(), atol=1e-4)


def test_a_score_is_the_mean_of_a_token_whatever_the_search(network: T5, tokenizer: Tokenizer) -> None:
    engine = TranslationEngine(
        ctranslate2_files(network, tokenizer.pieces, quantization="float32"), tokenizer, num_threads=1
    )
    source = [*tokenizer.encode("two men"), tokenizer.end_id]
    for search in (BeamSearch(beam_size=1), BeamSearch(), BeamSearch(length_penalty=0.5)):
        (found,) = engine.translate([source], search)
        assert len(found.ids) <= search.max_length(len(source))
        whole = torch.tensor([[*found.ids, tokenizer.end_id]])
        with torch.no_grad():
            logits_1TV, _ = network(torch.tensor([source]), whole)
        # The search takes no unknown mark, and so shares its probability out.
        logits_1TV[..., tokenizer.unknown_id] = -torch.inf
        scores_T = logits_1TV[0].log_softmax(dim=-1).gather(1, whole[0][:, None])[:, 0]
        # A translation that was cut off has no end.
        assert min(abs(found.score - float(mean)) for mean in (scores_T.mean(), scores_T[:-1].mean())) < 1e-2


def test_a_model_that_is_none_is_refused(network: T5, tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="10 pieces for a network of"):
        ctranslate2_files(network, tokenizer.pieces[:10], quantization="float32")
    files = ctranslate2_files(network, tokenizer.pieces, quantization="float32")
    with pytest.raises(IntegrityError, match="cannot load the model"):
        TranslationEngine({**files, "model.bin": b"no model"}, tokenizer)


def test_weights_of_a_checkpoint(network: T5, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """A folder of transformers, with more rows in its vocabulary than the tokenizer has pieces, as T5's own have."""
    network.model.resize_token_embeddings(tokenizer.num_pieces + 8, mean_resizing=False)
    network.model.save_pretrained(tmp_path)
    config = SMALL.model_copy(update={"weights": str(tmp_path)})
    started = config.build(input_shape=(), num_outputs=tokenizer.num_pieces)
    config.start(started, input_shape=(), num_outputs=tokenizer.num_pieces)
    own, given = started.model.state_dict(), network.model.state_dict()
    assert torch.equal(own["shared.weight"], given["shared.weight"][: tokenizer.num_pieces])
    assert all(torch.equal(own[name], given[name]) for name in own if "embed" not in name and own[name].ndim == 1)
    other = config.model_copy(update={"feed_forward": 64})
    with pytest.raises(ConfigError, match="the model has feed_forward 64, the checkpoint 48"):
        other.start(other.build(input_shape=(), num_outputs=20), input_shape=(), num_outputs=20)


def test_a_checkpoint_that_cannot_be_had_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no 'spiece\.model'; expected a T5 checkpoint"):
        checkpoint_file(str(tmp_path), "spiece.model")
    with pytest.raises(InputError, match="of checkpoint 'nobody/nothing' cannot be had"):
        checkpoint_file("nobody/nothing", "config.json")
    with pytest.raises(ValueError, match="no multiple of num_heads"):
        T5Config(width=30, num_heads=4)
