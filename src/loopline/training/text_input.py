"""Texts as an input: which SentencePiece model cuts them up, trained on the train split or taken from a checkpoint."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import sentencepiece
from pydantic import Field

from loopline.core.errors import ConfigError
from loopline.core.records import DatasetManifest, TransformStep
from loopline.core.store import digest_json, lock, write_bytes
from loopline.training.inputs import InputConfig
from loopline.transforms.text import TokenizeText

if TYPE_CHECKING:
    from loopline.snapshots import Snapshot, SplitReader

TOKENIZER_FILE = "tokenizer.model"
_TRAIN_SPLIT = "train"
# What a tokenizer is trained on at most: a split's order is that of digests, so the first pairs are as good as any.
_MAX_PAIRS = 500_000
# Another process may be training the same one.
_WAIT_S = 3600.0


class TextInput(InputConfig):
    """Texts, cut into pieces that source and target share.

    The SentencePiece model is trained on both sides of the train split, or is that of `tokenizer`: a checkpoint of the
    Hugging Face hub (`google-t5/t5-small`), a folder with `spiece.model`, or a file.
    """

    name: Literal["text"] = "text"
    input_kind: ClassVar[str] = "text"
    tokenizer: str | None = None
    # Of a trained one: how many pieces (a small corpus may give fewer), and how they are found.
    num_pieces: int = Field(default=4000, ge=32, le=256_000)
    algorithm: Literal["unigram", "bpe"] = "unigram"
    # See `loopline.transforms.text.TokenizeText`.
    prefix: str = ""
    max_bytes: int = Field(default=1 << 16, ge=1)
    max_tokens: int = Field(default=4096, ge=1)
    segment_tokens: int = Field(default=128, ge=16, le=1024)

    def steps(self, manifest: DatasetManifest) -> tuple[TransformStep, ...]:
        names = ("prefix", "max_bytes", "max_tokens", "segment_tokens")
        params = {"file": TOKENIZER_FILE, **{name: getattr(self, name) for name in names}}
        return (TransformStep(name="tokenize_text", params=TokenizeText(**params).model_dump()),)

    def files(self, snapshot: Snapshot, cache: Path) -> dict[str, bytes]:
        if self.tokenizer is not None:
            return {TOKENIZER_FILE: _given(self.tokenizer)}
        return {TOKENIZER_FILE: self._trained(snapshot.split(_TRAIN_SPLIT), cache / "tokenizers")}

    def _trained(self, split: SplitReader, folder: Path) -> bytes:
        made_of = {
            "split": split.digest,
            "num_pieces": self.num_pieces,
            "algorithm": self.algorithm,
            "sentencepiece": sentencepiece.__version__,
        }
        path = folder / f"{digest_json(made_of)}.model"
        if not path.exists():
            with lock(path.with_suffix(".lock"), holder=f"the tokenizer '{path}'", timeout_s=_WAIT_S):
                if not path.exists():
                    write_bytes(path, train_tokenizer(_texts(split), self.num_pieces, algorithm=self.algorithm))
        return path.read_bytes()


def train_tokenizer(texts: Iterator[str], num_pieces: int, *, algorithm: Literal["unigram", "bpe"]) -> bytes:
    """A SentencePiece model with T5's marks (padding 0, end 1, unknown 2); equal texts give equal bytes.

    Raises `ConfigError` where the texts do not give so many pieces, or need more.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=texts,
            model_writer=model,
            vocab_size=num_pieces,
            model_type=algorithm,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            # Rare characters become unknown; 4,000 pieces are too few to hold each of them.
            character_coverage=0.9999,
            hard_vocab_limit=False,
            num_threads=1,
            minloglevel=3,
        )
    except (RuntimeError, OSError) as error:
        reason = str(error).splitlines()[-1].strip()[-200:]
        raise ConfigError(
            f"a tokenizer of {num_pieces} pieces cannot be trained on these texts: {reason}",
            next_command="loopline train … input.num_pieces=NUMBER",
        ) from None
    return model.getvalue()


def _texts(split: SplitReader) -> Iterator[str]:
    """Sources and targets in turn."""
    for index in range(min(split.num_examples, _MAX_PAIRS)):
        yield split.raw(index).decode(errors="replace")
        yield str(split.targets[index])


def _given(tokenizer: str) -> bytes:
    path = Path(tokenizer)
    if path.is_file():
        return path.read_bytes()
    from loopline.networks.t5 import checkpoint_file

    return checkpoint_file(tokenizer, "spiece.model").read_bytes()
