"""A translator on the public seam that needs no model: it answers in capitals; also a program that serves it.

python shouter.py BUNDLE LOG       BUNDLE is any bundle; its record is taken for a translator's
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from loopline.bundle import read_bundle
from loopline.core.errors import InvalidExample
from loopline.core.records import ModelBundle
from loopline.predictor import Answer, TextAnswer
from loopline.serving import ServeSettings, serve


@dataclass
class Shouter:
    """Texts to themselves in capitals, with single spaces."""

    folder: Path
    bundle: ModelBundle
    output_names: tuple[str, ...] = ("num_tokens", "unknown_rate")
    is_verified: bool = True

    @classmethod
    def open(cls, folder: Path) -> Self:
        return cls(folder, read_bundle(folder).model_copy(update={"task": "translation", "input_kind": "text"}))

    def decode(self, raw: bytes) -> list[str]:
        return self.from_array(raw.decode())

    def from_array(self, values: Any) -> list[str]:
        words: list[str] = values.split()
        if not words:
            raise InvalidExample("an empty text given; expected a sentence.")
        return words

    def join(self, files: Sequence[tuple[str, bytes]]) -> bytes:
        return files[0][1]

    def predict(self, samples: Sequence[list[str]]) -> list[Answer]:
        return [
            TextAnswer(" ".join(words).upper(), np.array([len(words), 0.25], np.float32), np.ones(4, np.float32))
            for words in samples
        ]

    def predict_raw(self, raws: Sequence[bytes]) -> list[Answer]:
        return self.predict([self.decode(raw) for raw in raws])

    def verify(self, *, part: int = 0, num_parts: int = 1) -> None:
        """It always shouts."""


if __name__ == "__main__":
    serve(
        Shouter.open(Path(sys.argv[1])),
        ServeSettings(port=0, ui=True),
        model="shouter@champion",
        log_path=Path(sys.argv[2]),
    )
