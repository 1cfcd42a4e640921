"""Texts to ids and back: every segment fits, every line stays, and what is no text is refused with a sentence."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest

from loopline.core.errors import ConfigError, IntegrityError, InvalidExample
from loopline.core.records import TransformStep
from loopline.training.text_input import train_tokenizer
from loopline.transforms import build_pipeline
from loopline.transforms.text import BeamSearch, Tokenizer, TokenizeText, batches_by_length, pad

TEXTS = [
    "Two young men are outside near many bushes, and a dog sleeps.",
    "A little girl climbs into a wooden house.",
    "Zwei junge Männer sind draußen bei den Büschen, und ein Hund schläft.",
    "Ein kleines Mädchen klettert in ein Haus aus Holz.",
] * 5
STEP = TransformStep(name="tokenize_text", params={"segment_tokens": 16})
Make = Callable[..., TokenizeText]


@pytest.fixture(scope="module")
def model() -> bytes:
    return train_tokenizer(iter(TEXTS), 90, algorithm="unigram")


@pytest.fixture
def make(model: bytes) -> Make:
    def made(**params: object) -> TokenizeText:
        decoder = build_pipeline(
            [TransformStep(name="tokenize_text", params=params)], {"tokenizer.model": model}
        ).decoder
        assert isinstance(decoder, TokenizeText)
        return decoder

    return made


def test_a_text_comes_back(make: Make) -> None:
    decoder = make()
    ids = decoder(TEXTS[0].encode())
    assert ids.dtype == np.int32
    assert ids[-1] == decoder.tokenizer.end_id
    assert decoder.tokenizer.decode(ids.tolist()) == TEXTS[0]
    assert np.array_equal(decoder.from_array(TEXTS[0]), ids)


def test_sentences_and_lines_are_segments(make: Make) -> None:
    decoder = make()
    ids = decoder(f"{TEXTS[0]} {TEXTS[1]}\n\n{TEXTS[3]}\n".encode())
    segments = decoder.segments(ids)
    assert [len(segment) == 1 for segment in segments] == [False, False, True, True, False]
    texts = [decoder.tokenizer.decode(segment.tolist()) for segment in segments]
    assert texts == [TEXTS[0], TEXTS[1], "", "", TEXTS[3]]
    # A pair is learnt as a whole.
    whole = decoder.whole(ids)
    assert decoder.tokenizer.decode(whole.tolist()) == f"{TEXTS[0]} {TEXTS[1]} {TEXTS[3]}"
    assert (whole == decoder.tokenizer.end_id).sum() == 1


def test_a_prefix_stands_before_every_segment_and_counts_nowhere(make: Make) -> None:
    decoder, plain = make(prefix="Ein Hund, "), make()
    ids = decoder(f"{TEXTS[0]} {TEXTS[1]}".encode())
    for segment in decoder.segments(ids):
        assert decoder.tokenizer.decode(segment.tolist()).startswith("Ein Hund,")
    assert decoder.tokenizer.decode(decoder.whole(ids).tolist()).count("Ein Hund,") == 1
    assert decoder.features(ids) == plain.features(plain(f"{TEXTS[0]} {TEXTS[1]}".encode()))


def test_no_segment_is_longer_than_the_network_knows(make: Make) -> None:
    decoder = make(segment_tokens=16)
    long = "two young men, " * 30 + "menmenmen" * 30
    segments = decoder.segments(decoder(long.encode()))
    assert max(map(len, segments)) <= 16
    assert len(segments) > 10
    # Cut after a clause where there is one.
    assert decoder.tokenizer.decode(segments[0].tolist()).endswith(",")
    joined = "".join(decoder.tokenizer.decode(segment.tolist()) for segment in segments)
    assert joined.replace(" ", "") == long.replace(" ", "")


def test_what_is_unknown_is_counted(make: Make) -> None:
    decoder = make()
    num_tokens, unknown_share = decoder.features(decoder("men 😀 men".encode()))
    assert num_tokens > 2
    assert 0 < unknown_share < 1


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "the text is empty; expected at least one word."),
        (" \n\t\u200b ".encode(), "the text is empty"),
        (b"a\xff", "byte 1 is not UTF-8; expected a text in UTF-8."),
        (b"ring \x07", r"control character U\+0007 given at place 5"),
        (b"\x00", r"control character U\+0000"),
        (b"a" * 200, "200 bytes of text given; expected at most 150."),
        (b"men " * 30, "the text has over 20 tokens; expected at most so many."),
    ],
)
def test_what_is_no_text_is_refused(make: Make, raw: bytes, sentence: str) -> None:
    with pytest.raises(InvalidExample, match=sentence):
        make(max_bytes=150, max_tokens=20)(raw)


@pytest.mark.parametrize(
    ("value", "sentence"), [(3, "int given"), (["a"], "list given"), ("\ud800", "half a surrogate")]
)
def test_json_that_is_no_text_is_refused(make: Make, value: object, sentence: str) -> None:
    with pytest.raises(InvalidExample, match=sentence):
        make().from_array(value)


def test_a_megabyte_is_refused_or_answered(make: Make) -> None:
    decoder = make(max_bytes=2_000_000, max_tokens=1000)
    for raw in (b"a" * 1_000_000, b"men " * 250_000):
        with pytest.raises(InvalidExample, match="over 1,000 tokens"):
            decoder(raw)
    # Unknown characters in a row are one token.
    assert len(decoder("😀".encode() * 250_000)) < 16


def test_the_file_must_be_there_and_be_one(model: bytes) -> None:
    with pytest.raises(ConfigError, match=r"'tokenizer\.model' given; there is no file beside the steps"):
        build_pipeline([STEP])
    with pytest.raises(ConfigError, match="was not bound to its file"):
        TokenizeText()(b"a")
    for wrong in (b"", b"no model"):
        with pytest.raises(IntegrityError, match="SentencePiece"):
            build_pipeline([STEP], {"tokenizer.model": wrong})
    step = TransformStep(name="tokenize_text", params={"segment_tokens": 16, "prefix": "a very long prefix " * 3})
    with pytest.raises(ConfigError, match=r"prefix has \d+ tokens; expected a shorter one"):
        build_pipeline([step], {"tokenizer.model": model})


def test_decoders_are_copied_to_workers_with_their_file(make: Make) -> None:
    decoder = make()
    assert np.array_equal(copy.deepcopy(decoder)(b"Two men"), decoder(b"Two men"))


def test_texts_are_made_up_by_a_seed(make: Make) -> None:
    decoder = make()
    raws = [decoder.simulate((), np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert raws[0] == raws[1] != raws[2]
    assert len(decoder(raws[0])) > 1


def test_a_tokenizer_is_the_same_each_time(model: bytes) -> None:
    assert train_tokenizer(iter(TEXTS), 90, algorithm="unigram") == model
    bpe = Tokenizer(train_tokenizer(iter(TEXTS), 90, algorithm="bpe"))
    assert (bpe.pad_id, bpe.end_id, bpe.unknown_id) == (0, 1, 2)
    assert bpe.ids[bpe.pieces[20]] == 20


def test_batches_hold_neighbours_in_length() -> None:
    segments = [[1] * length for length in (5, 2, 9, 2, 4)]
    batches = batches_by_length(segments, max_tokens=10)
    assert batches == [[1, 3], [4, 0], [2]]
    assert pad([segments[1], segments[4]], 0).tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


def test_a_search_says_how_long_a_translation_may_be() -> None:
    assert BeamSearch(max_ratio=1.5).max_length(10) == 25
    with pytest.raises(ValueError, match="beam_size 1 has one"):
        BeamSearch(beam_size=1, length_penalty=0.5)
